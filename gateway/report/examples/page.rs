//! Prints the page of a made-up report, to look at: `page zh|en|both`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example with content of its own"
)]

#[path = "../tests/report/sample.rs"]
mod sample;

use xinqiao_report::{Lang, html};

fn main() {
    let lang = match std::env::args().nth(1).as_deref() {
        Some("en") => Lang::En,
        Some("both") => Lang::Both,
        _ => Lang::Zh,
    };
    let answer = sample::answer(&xinqiao_catalogue::first().unwrap(), sample::ROWS);
    println!(
        "{}",
        html::report(&answer, &sample::occasion(), lang).unwrap()
    );
}
