//! Every back end does the same: one list of tests, run over each of them.

macro_rules! tests {
    ($new:path; $($suite:ident: $($name:ident)*;)*) => {
        $($(#[test] fn $name() { crate::$suite::$name($new); })*)*
    };
}

macro_rules! conforms {
    ($new:path) => {
        tests! {
            $new;
            conformance:
                a_commit_is_there_whole_and_still_after_reopening
                a_refused_commit_leaves_nothing
                a_position_that_is_elsewhere_fences
                positions_are_of_one_consumer_and_may_begin_anywhere
                a_snapshot_replaces_the_one_before
                anomalies_are_kept_once_and_found_by_every_filter
                every_byte_comes_back
                a_scan_goes_up_in_every_partition_and_stops_when_told
                questions_may_be_asked_while_rows_are_committed;
            letters:
                dead_letters_are_kept_once_and_found_by_every_filter
                every_part_of_a_dead_letter_comes_back
                what_happens_to_a_dead_letter_follows_from_its_status
                a_failed_replay_counts_and_the_fourth_quarantines
                an_edited_letter_keeps_what_the_sender_sent
                changes_are_of_one_tenants_letter_and_may_come_with_it;
            windows:
                pieces_in_any_order_and_any_commits_give_equal_rows
                any_page_of_windows_is_answered_as_by_the_model
                a_page_goes_through_a_start_with_many_groups
                a_piece_of_another_definition_replaces_the_row
                a_retracted_window_goes_and_one_that_comes_again_goes_on
                late_events_are_counted_with_and_without_their_window;
            outbox:
                an_alert_is_kept_when_its_anomaly_is_new
                alerts_are_found_by_every_filter
                what_is_due_is_told_until_it_is_done
                what_waits_for_one_target_hides_nothing_for_another
                a_windows_result_is_told_as_it_is_and_again_when_it_changes;
            expiry:
                days_go_as_a_whole_when_they_are_old
                anomalies_go_with_their_stream
                windows_go_when_they_ended_before_and_have_not_changed_since
                what_was_told_goes_and_what_waits_stays
                settled_dead_letters_go_with_the_log_that_holds_them;
            pages:
                any_question_is_answered_as_by_the_model
                a_stream_of_many_types_is_still_in_order
                runs_longer_than_one_reading_are_whole;
            tenants:
                tenants_with_equal_keys_types_and_ids_see_only_their_own
                more_tenants_than_are_merged_are_still_in_order_and_apart
                a_commit_that_fails_gives_no_tenant_the_number_of_another;
        }
    };
}

mod sqlite {
    conforms!(crate::sqlite::new);
}

mod postgres {
    conforms!(crate::servers::postgres);
}

mod timescale {
    conforms!(crate::servers::timescale);
}
