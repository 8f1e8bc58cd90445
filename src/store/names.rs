//! Which entries belong to one token.

use aws_lc_rs::digest::{Context, SHA256};

use super::{contract::EntryName, key::hexadecimal};

/// Changes when what an input means does, so that two versions never take each other's tokens for their own.
const VERSION: &[u8] = b"client-credentials token 1";

/// The names of a token's entries. They begin with a hash of everything that identifies the token.
///
/// It is not keyed: instances with different keys, in the middle of a rotation, would each hold a lease of their own.
/// So whoever reads the store and guesses every input can confirm the guess. No secret is among the inputs.
pub(super) struct Names {
    pub token: EntryName,
    pub lease: EntryName,
    pub failure: EntryName,
}

impl Names {
    /// The order of the inputs counts, and an empty one differs from an omitted one.
    pub(super) fn new<'a>(namespace: &'a str, inputs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Context::new(&SHA256);
        for input in [VERSION, namespace.as_bytes()].into_iter().chain(inputs) {
            // With its length: ("ab", "c") is another token than ("a", "bc").
            hash.update(&(input.len() as u64).to_be_bytes());
            hash.update(input);
        }
        let token = hexadecimal(hash.finish().as_ref());
        let name = |what| EntryName::new(&token, what);
        Self { token: name("token"), lease: name("lease"), failure: name("failure") }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    fn name<const N: usize>(namespace: &str, inputs: [&str; N]) -> String {
        Names::new(namespace, inputs.map(str::as_bytes)).token.to_string()
    }

    /// Changing it splits a fleet into old and new instances while a version is rolled out.
    #[test]
    fn the_name_of_a_token_stays() {
        let name = name("", ["https://auth.example.com/token", "abcde", "stats"]);
        assert_eq!(name, "28302bc41a8e9177e592b998fc3b57d3aa3e422a13fd6bb867ceae253298258b.token");
    }

    #[test]
    fn each_input_counts_with_its_length() {
        let names = [
            name("", ["ab", "c"]),
            name("", ["a", "bc"]),
            name("", ["ab", "c", ""]),
            name("ab", ["c"]),
            name("", ["c", "ab"]),
            name("", ["abc"]),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{at}");
        }
    }
}
