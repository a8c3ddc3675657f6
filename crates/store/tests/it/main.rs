//! Tests of the store: what every back end must do (`conformance`, `pages`), and what is SQLite's own.

mod conformance;
mod data;
mod kill;
mod model;
mod pages;
mod sqlite;
