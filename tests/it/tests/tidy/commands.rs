//! Whether the commands that documents tell people to type exist: `cargo xtask …` and `xinqiao …`, with their
//! subcommands and long options, are compared with what the built programs' own `--help` says.
//!
//! It runs nothing but `--help`; that the commands work is for the other tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// A command as a document names it, from the program's name on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) words: Vec<String>,
}

/// All commands in fenced code and code spans whose program is ours.
pub(crate) fn named(markdown: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut continued: Option<(usize, String)> = None;
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if !fenced {
            for span in line.split('`').skip(1).step_by(2) {
                found.extend(ours(index + 1, span));
            }
            continue;
        }
        let (start, mut text) = continued.take().unwrap_or((index + 1, String::new()));
        text.push_str(line);
        match text.strip_suffix('\\') {
            Some(more) => continued = Some((start, more.to_owned())),
            None => found.extend(ours(start, &text)),
        }
    }
    found
}

/// The commands of one shell line that are ours.
fn ours(line: usize, shell: &str) -> Vec<Named> {
    let shell = shell.trim().trim_start_matches("$ ");
    let code = shell.split(" #").next().unwrap_or(shell);
    let parts = code
        .split("&&")
        .flat_map(|part| part.split('|'))
        .flat_map(|part| part.split(';'));
    let named = parts.filter_map(|part| {
        let words = part
            .split_whitespace()
            .skip_while(|word| is_assignment(word));
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        let program = words.first()?.rsplit('/').next()?.to_owned();
        let is_ours = match program.as_str() {
            "cargo" => words.get(1).is_some_and(|word| word == "xtask"),
            program => program == "xinqiao",
        };
        words[0] = program;
        is_ours.then_some(Named { line, words })
    });
    named.collect()
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    })
}

/// What a command's help text lists.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Help {
    commands: Vec<String>,
    text: String,
}

impl Help {
    fn parse(text: String) -> Self {
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let commands = listed
            .take_while(|line| line.is_empty() || line.starts_with(' '))
            // A name stands two columns in; wrapped descriptions stand further in.
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .flat_map(|names| names.split(','))
            .map(str::to_owned)
            .collect();
        Help { commands, text }
    }

    fn has_option(&self, option: &str) -> bool {
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
        self.text
            .match_indices(option)
            .any(|(at, _)| self.text[at + option.len()..].starts_with(is_end))
    }
}

/// Asks a program for its help: `xinqiao proof` or `cargo xtask demo`, as words.
type Ask = Box<dyn Fn(&[String]) -> String>;

/// The programs' help, asked for once per command.
pub(crate) struct Programs {
    ask: Ask,
    known: BTreeMap<Vec<String>, Help>,
}

impl Programs {
    /// The programs beside this test in the target folder.
    pub(crate) fn built() -> Self {
        Programs {
            ask: Box::new(ask_built),
            known: BTreeMap::new(),
        }
    }

    /// Whether the command, its subcommands and its long options exist.
    pub(crate) fn check(&mut self, words: &[String]) -> Result<(), String> {
        let program = if words[0] == "cargo" { 2 } else { 1 };
        let mut command = words[..program].to_vec();
        let mut help = self.help(&command);
        let mut at = program;
        while let Some(word) = words.get(at).filter(|word| is_name(word)) {
            if help.commands.is_empty() {
                // From here on words are arguments.
                break;
            }
            if !help.commands.contains(word) {
                return Err(format!(
                    "there is no `{word}` among {}",
                    help.commands.join(", ")
                ));
            }
            command.push(word.clone());
            help = self.help(&command);
            at += 1;
        }
        if command == ["cargo", "xtask", "test"] {
            // Its options are the test runner's.
            return Ok(());
        }
        if command == ["cargo", "xtask", "demo"] {
            help = self.help(&["xinqiao".to_owned(), "demo".to_owned()]);
        }
        if command == ["cargo", "xtask", "sim"] {
            help = self.help(&["xinqiao-sim".to_owned()]);
        }
        if command == ["cargo", "xtask", "bench", "chain"] {
            // Its own option comes before the benchmark's.
            let own = help.text;
            help = self.help(&["chain".to_owned()]);
            help.text.push_str(&own);
        }
        for word in words[at..].iter().take_while(|word| *word != "--") {
            let option = word
                .trim_start_matches('[')
                .split(['=', ']'])
                .next()
                .unwrap_or_default();
            if option.starts_with("--") && !help.has_option(option) {
                return Err(format!("it has no option {option}"));
            }
        }
        Ok(())
    }

    fn help(&mut self, command: &[String]) -> Help {
        if let Some(help) = self.known.get(command) {
            return help.clone();
        }
        let help = Help::parse((self.ask)(command));
        self.known.insert(command.to_vec(), help.clone());
        help
    }
}

/// A subcommand's name, as against a placeholder (`ORDER`, `<FILE>`, `…`) or an option.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn ask_built(command: &[String]) -> String {
    let (program, rest) = if command[0] == "cargo" {
        ("xtask", &command[2..])
    } else {
        (&*command[0], &command[1..])
    };
    let path = folder_of_programs().join(program);
    assert!(
        path.is_file(),
        "{program} is not built beside this test; `cargo xtask test` builds it, and so does `cargo build --workspace --bins`"
    );
    let output = Command::new(&path).args(rest).arg("--help").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "`{} --help` failed",
        command.join(" ")
    );
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// `…/debug`, of `…/debug/deps/tidy-0123456789abcdef`.
fn folder_of_programs() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has a path");
    own.ancestors()
        .nth(2)
        .expect("a test lies two folders below the target folder's profile")
        .to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_where_people_would_type_them() {
        let check = |text: &str, expected: &[(usize, &str)]| {
            let found: Vec<_> = named(text)
                .into_iter()
                .map(|it| (it.line, it.words.join(" ")))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(line, words)| (*line, words.to_string()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "Run `cargo xtask demo --keep`, then `xinqiao query`.",
            &[(1, "cargo xtask demo --keep"), (1, "xinqiao query")],
        );
        check("xinqiao is a program, cargo xtask another", &[]);
        check(
            "```sh\n$ cargo xtask test   # all of it\n```",
            &[(2, "cargo xtask test")],
        );
        check("```\ncargo test\nxinqiao: started\n```", &[]);
        check(
            "```\nRUST_LOG=info target/debug/xinqiao node \\\n  --config x\n```",
            &[(2, "xinqiao node --config x")],
        );
        check(
            "```\ncd x && xinqiao keys | less\n```",
            &[(2, "xinqiao keys")],
        );
        check("`xinqiao.v1` and `xinqiao-cli`", &[]);
    }

    #[test]
    fn a_command_that_does_not_exist_is_refused() {
        let ask: Ask = Box::new(|command| {
            match command.join(" ").as_str() {
                "xinqiao" => "About\n\nCommands:\n  proof  Export\n         and verify\n  demo, d   Show\n\nOptions:\n  -h, --help  Print help\n",
                "xinqiao proof" => "Commands:\n  export  Write\n\nOptions:\n  -h, --help\n",
                "xinqiao proof export" => "Options:\n      --genesis <FILE>  Genesis\n  -h, --help\n",
                "xinqiao demo" => "Options:\n      --keep  Keep\n",
                "cargo xtask" => "Commands:\n  demo  Run\n  test  Test\n",
                "cargo xtask demo" | "cargo xtask test" => "Usage: …\n",
                other => panic!("asked for the help of {other}"),
            }
            .to_owned()
        });
        let mut programs = Programs {
            ask,
            known: BTreeMap::new(),
        };
        let mut check = |command: &str, good: bool| {
            let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
            let result = programs.check(&words);
            assert_eq!(result.is_ok(), good, "{command}: {result:?}");
        };
        check("xinqiao", true);
        check("xinqiao COMMAND", true);
        check("xinqiao --help", true);
        check("xinqiao --version", false);
        check("xinqiao proof export ORDER --genesis=g.json", true);
        check("xinqiao proof export ORDER --gene", false);
        check("xinqiao proof exports", false);
        check("xinqiao verify", false);
        check("xinqiao and", false);
        check("cargo xtask demo --keep", true);
        check("cargo xtask demo --kept", false);
        check("cargo xtask demo -- --kept", true);
        check("cargo xtask test -p xinqiao-crypto --no-capture", true);
        check("cargo xtask lint", false);
    }
}
