//! Standard output. Whoever reads it may stop reading (`xinqiao … | head -1`): then the program ends,
//! quietly. It is the one place that writes there: `print!` and `println!` lead here in the whole program.

use std::{
    fmt,
    io::{ErrorKind, Write as _},
};

/// The exit code when nobody reads on: as a shell shows it for a program that SIGPIPE ended.
const NOT_READ: i32 = 141;

/// Writes to standard output.
pub fn write(text: fmt::Arguments<'_>) {
    let Err(fault) = std::io::stdout().lock().write_fmt(text) else {
        return;
    };
    if fault.kind() == ErrorKind::BrokenPipe {
        std::process::exit(NOT_READ);
    }
    // Where standard error goes is not known either: nothing is left to tell it to.
    let _ = writeln!(
        std::io::stderr(),
        "error: the output cannot be written: {fault}"
    );
    std::process::exit(1);
}

/// As the standard library's, whose panic when nobody reads on would look like a fault of the program.
macro_rules! print {
    ($($arg:tt)*) => { $crate::output::write(format_args!($($arg)*)) };
}

/// As [`print!`], with a line feed.
macro_rules! println {
    () => { $crate::output::write(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($arg)*))) };
}
