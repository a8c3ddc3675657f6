//! Numbered pages: which one is asked for, and where it lies among all.

use event::limits::PAGE_ROWS_MAX;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::error::QueryError;
use crate::params::Params;

const SIZE_DEFAULT: u64 = 50;

/// Which page, of which time.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// At or after this event time, milliseconds since the epoch (RFC 3339 is read too).
    #[param(required = false)]
    pub(super) start_timestamp: Option<i64>,
    /// At or before this event time.
    #[param(required = false)]
    pub(super) end_timestamp: Option<i64>,
    /// The page, from 1.
    #[param(required = false, minimum = 1, default = 1)]
    pub(super) page: u64,
    /// Rows of a page.
    #[param(required = false, minimum = 1, maximum = 1000, default = 50)]
    pub(super) size: u64,
}

impl Page {
    pub(super) fn read(params: &Params) -> Result<Self, QueryError> {
        let (start_timestamp, end_timestamp) = params.time_range("start_timestamp", "end_timestamp")?;
        let size = params.number("size", 1, PAGE_ROWS_MAX as u64, SIZE_DEFAULT)?;
        // A database counts the rows to skip in 63 bits.
        let page = params.number("page", 1, i64::MAX as u64 / size, 1)?;
        Ok(Self { start_timestamp, end_timestamp, page, size })
    }

    /// The rows before it.
    pub(super) fn skip(self) -> u64 {
        (self.page - 1) * self.size
    }

    /// Where it lies among the pages of that many rows.
    pub(super) fn of(self, total: u64) -> Pagination {
        let Self { page, size, .. } = self;
        let total_pages = total.div_ceil(size);
        Pagination { page, size, total, total_pages, has_next: page < total_pages, has_prev: page > 1 }
    }
}

/// Where a page lies among all pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Pagination {
    /// This page, from 1.
    page: u64,
    /// Rows of a full page.
    size: u64,
    /// Rows that the filters let through.
    total: u64,
    /// Pages that hold them.
    total_pages: u64,
    has_next: bool,
    has_prev: bool,
}
