//! Progress of long work, where there is someone to see it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A spinner that says what is being waited for, where there is someone to see it.
pub fn spinner(text: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(text);
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A bar over so many steps.
pub fn bar(steps: usize, text: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64).with_message(text);
    if let Ok(style) =
        ProgressStyle::with_template("  {msg} {wide_bar} {pos}/{len} {per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}
