//! Targets of alerts, and what is said of those that are not sound.

use super::{Source, check, comes_back, load_with, settings, show, show_marked};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn a_target_is_read_and_shown_without_its_secrets() {
    let settings = settings(&format!(
        "alerts:\n  - {{ name: ops, url: 'https://hooks.example.com/T0KEN?x=T0KEN', secret: [{SECRET}, {SECRET}], \
         rules: [high_value_purchase], severity: medium, streams: [signals] }}\n  \
         - {{ name: all, url: 'http://127.0.0.1:9', secret: {SECRET} }}\n"
    ));
    assert_eq!(settings.alerts.iter().map(notify::Target::name).collect::<Vec<_>>(), ["ops", "all"]);
    let shown = show(&settings);
    let text = shown.to_string();
    assert!(!text.contains("MfKQ") && !text.contains("T0KEN"), "{text}");
    assert_eq!(
        shown["alerts"],
        serde_json::json!([
            { "name": "ops", "url": "https://hooks.example.com/***", "secret": ["***", "***"], "severity": "medium",
              "rules": ["high_value_purchase"], "streams": ["signals"] },
            { "name": "all", "url": "http://127.0.0.1:9/", "secret": ["***"], "severity": "low" },
        ])
    );
}

#[test]
fn another_secret_is_noticed_though_it_is_not_shown() {
    let of = |secret: &str, path: &str| {
        settings(&format!("alerts: [{{ name: a, url: 'https://a.example/{path}', secret: {secret} }}]"))
    };
    let (one, same) = (of(SECRET, "x"), of(SECRET, "x"));
    assert_eq!(show_marked(&one), show_marked(&same));
    for other in [of("another secret of length", "x"), of(SECRET, "y")] {
        assert_eq!(show(&one), show(&other));
        assert_ne!(show_marked(&one), show_marked(&other));
    }
}

#[test]
fn a_secret_can_be_in_a_file_and_is_shown_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let target = |file: &str| format!("alerts: [{{ name: ops, url: 'https://a.example', secret_file: '{file}' }}]");
    comes_back(&target(path.to_str().unwrap()));
    let bad = load_with(&Source::given("test", &target("absent.secret")), std::iter::empty()).unwrap_err().to_string();
    assert!(bad.contains("alerts[0].secret_file: cannot read the file `absent.secret`"), "{bad}");
}

#[test]
fn each_mistake_in_a_target_is_named_with_its_path() {
    let secret = format!("secret: {SECRET}");
    let url = "url: 'https://a.example/'";
    let table: &[(String, &str, &str)] = &[
        (format!("{url}, {secret}"), "", "`name` is missing"),
        (format!("name: ops, {secret}"), "", "`url` is missing"),
        (format!("name: Ops, {url}, {secret}"), ".name", "small letters"),
        (format!("name: store, {url}, {secret}"), ".name", "none of `store`"),
        (format!("name: ops, url: 'ftp://a.example', {secret}"), ".url", "begins with `https://` or `http://`"),
        (format!("name: ops, url: 'https://me:word@a.example', {secret}"), ".url", "no user or password"),
        (format!("name: ops, url: 'https://a.example/***', {secret}"), ".url", "hidden write it as it is"),
        (format!("name: ops, {url}"), "", "exactly one of `secret`, `secret_file` and `secret_env`"),
        (format!("name: ops, {url}, {secret}, secret_env: X"), "", "exactly one of `secret`"),
        (format!("name: ops, {url}, secret: short"), ".secret", "16 to 1024 bytes"),
        (format!("name: ops, {url}, secret: ['***']"), ".secret[0]", "16 to 1024 bytes"),
        (format!("name: ops, {url}, secret: []"), ".secret", "1 to 4 secrets, found 0"),
        (format!("name: ops, {url}, secret_env: MILLSTREAM_NO_SUCH_SECRET"), ".secret_env", "there is no variable"),
        (
            format!("name: ops, {url}, {secret}, rules: [high_value_purchas]"),
            ".rules[0]",
            "did you mean `high_value_purchase`?",
        ),
        (format!("name: ops, {url}, {secret}, streams: [events, signal]"), ".streams[1]", "did you mean `signals`?"),
        (format!("name: ops, {url}, {secret}, severity: worst"), ".severity", "expected low, medium or high"),
        (format!("name: ops, {url}, {secret}, secrets: []"), ".secrets", "did you mean `secret`?"),
    ];
    for (text, path, part) in table {
        check(&format!("alerts: [{{ {text} }}]"), &[(&format!("alerts[0]{path}"), part)]);
    }
    let twice = format!("alerts: [{{ name: a, {url}, {secret} }}, {{ name: a, {url}, {secret} }}]");
    check(&twice, &[("alerts[1]", "target `a` is defined twice")]);
    check("alerts: {}", &[("alerts", "expected a list")]);
    let secrets =
        format!("alerts: [{{ name: a, {url}, secret: shorty-and-secret\n }}, {{ name: a, {url}, secret: tiny }}]");
    let bad = load_with(&Source::given("test", &secrets), std::iter::empty()).unwrap_err().to_string();
    assert!(!bad.contains("tiny"), "what may be a secret is not repeated: {bad}");
}
