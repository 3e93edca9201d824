//! What the contract declares, read from the proto files themselves: no field can be forgotten in a table.

const CONTRACT: [&str; 3] = [
    include_str!("../../../../proto/xinqiao/v1/transaction.proto"),
    include_str!("../../../../proto/xinqiao/v1/types.proto"),
    include_str!("../../../../proto/xinqiao/v1/catalogue.proto"),
];

/// A field of a message, as the contract declares it.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) number: usize,
    pub(crate) repeated: bool,
}

/// Fields of a message in the contract.
pub(crate) fn fields_of(message: &str) -> Vec<Field> {
    let empty = format!("message {message} {{}}");
    if CONTRACT.iter().any(|file| file.contains(&empty)) {
        return vec![];
    }
    let start = format!("message {message} {{\n");
    let text = CONTRACT
        .iter()
        .find_map(|file| file.split_once(&start))
        .unwrap_or_else(|| panic!("no message {message}"))
        .1;
    let body = text.split_once("\n}").unwrap().0;
    body.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.split_once(" = "))
        .map(|(declared, number)| {
            let mut words = declared.split(' ').rev();
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            Field {
                name: name.to_owned(),
                kind: kind.to_owned(),
                number: number.trim_end_matches(';').parse().unwrap(),
                repeated: words.next() == Some("repeated"),
            }
        })
        .collect()
}

/// Whether a field's type is a message of the contract, other than an enumeration.
pub(crate) fn is_message(kind: &str) -> bool {
    let start = format!("message {kind} {{");
    CONTRACT.iter().any(|file| file.contains(&start))
}

/// Paths of all fields below a message, down to scalars, with their types.
pub(crate) fn paths(message: &str, prefix: &str) -> Vec<(String, String)> {
    fields_of(message)
        .into_iter()
        .flat_map(|Field { name, kind, .. }| {
            let path = format!("{prefix}{name}");
            if is_message(&kind) {
                paths(&kind, &format!("{path}."))
            } else {
                vec![(path, kind)]
            }
        })
        .collect()
}

/// A path without the places in lists.
pub(crate) fn without_places(path: &str) -> String {
    path.chars()
        .filter(|c| !matches!(c, '[' | ']' | '0'..='9'))
        .collect()
}
