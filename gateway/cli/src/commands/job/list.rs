//! Lists of enterprises as people write them: a code a line, perhaps a grant behind it.

use std::{io::Read, path::Path};

use anyhow::{Context, Result, bail};
use xinqiao_ledger::wire;

use crate::files;

/// The largest list: 10,000 codes with a grant each are well below it.
const MAX_LIST: u64 = 4 << 20;

/// Reads a list. Codes that are none are for the agent to say.
///
/// # Errors
/// When it cannot be read, or a line has more than a code and a grant of 64 hexadecimal digits.
pub fn entries(file: &Path) -> Result<Vec<wire::JobEntry>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin()
            .take(MAX_LIST + 1)
            .read_to_string(&mut text);
        if read.context("cannot read standard input")? as u64 > MAX_LIST {
            bail!("the list is too large: it has at most {MAX_LIST} bytes");
        }
        text
    } else {
        files::text(file, MAX_LIST)?
    };
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<wire::JobEntry>> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let lines = (1..).zip(lines.map(str::trim));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let mut fields = line.split(|sign: char| sign == ',' || sign.is_whitespace());
            let uscc = fields.next().unwrap_or_default().to_owned();
            let mut rest = fields.filter(|field| !field.is_empty());
            let grant = match rest.next() {
                None => Vec::new(),
                Some(grant) => hex::decode(grant)
                    .with_context(|| format!("line {number}: the grant is not hexadecimal"))?,
            };
            if rest.next().is_some() {
                bail!("line {number} has more than a code and a grant");
            }
            Ok(wire::JobEntry { uscc, grant })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line_and_a_fault_is_named_with_its_line() {
        let grant = "ab".repeat(32);
        let text = format!("\u{feff}# portfolio\r\n\n  code1 \r\ncode2,{grant}\ncode3\t{grant}\n");
        let entries = parse(&text).unwrap();
        let read: Vec<(&str, usize)> = (entries.iter())
            .map(|entry| (&*entry.uscc, entry.grant.len()))
            .collect();
        assert_eq!(read, [("code1", 0), ("code2", 32), ("code3", 32)]);
        for (text, line) in [("a\nb xyz", "line 2"), ("a ab ab", "line 1")] {
            let told = format!("{:#}", parse(text).unwrap_err());
            assert!(told.contains(line), "{told}");
        }
    }
}
