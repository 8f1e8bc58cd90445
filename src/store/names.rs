//! Which entries belong to one token.

use aws_lc_rs::digest::{Context, SHA256};

use super::{contract::EntryName, key::hexadecimal};

/// Changes when what an input means does, so that two versions never take each other's tokens for their own.
const VERSION: &[u8] = b"client-credentials token 1";

/// What the names of a token's entries have in common: a hash of everything that identifies the token.
///
/// It is not keyed: instances with different keys, in the middle of a rotation, would each hold a lease of their own.
/// So whoever reads the store and guesses every input can confirm the guess. No secret is among the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenName(String);

impl TokenName {
    /// The order of the inputs counts, and an empty one differs from an omitted one.
    pub(crate) fn new<I: AsRef<[u8]>>(namespace: &str, inputs: impl IntoIterator<Item = I>) -> Self {
        let mut hash = Context::new(&SHA256);
        let mut add = |input: &[u8]| {
            // With its length: ("ab", "c") is another token than ("a", "bc").
            hash.update(&(input.len() as u64).to_be_bytes());
            hash.update(input);
        };
        add(VERSION);
        add(namespace.as_bytes());
        inputs.into_iter().for_each(|input| add(input.as_ref()));
        Self(hexadecimal(hash.finish().as_ref()))
    }

    /// The name of one of the entries, such as `token` or `lease`.
    pub(crate) fn entry(&self, what: &str) -> EntryName {
        EntryName::new(&self.0, what)
    }
}

#[cfg(test)]
mod tests {
    use super::TokenName;

    /// Changing it splits a fleet into old and new instances while a version is rolled out.
    #[test]
    fn the_name_of_a_token_stays() {
        let name = TokenName::new("", ["https://auth.example.com/token", "abcde", "stats"]).entry("token");
        assert_eq!(name.as_str(), "28302bc41a8e9177e592b998fc3b57d3aa3e422a13fd6bb867ceae253298258b.token");
    }

    #[test]
    fn each_input_counts_with_its_length() {
        let names = [
            TokenName::new("", ["ab", "c"]),
            TokenName::new("", ["a", "bc"]),
            TokenName::new("", ["ab", "c", ""]),
            TokenName::new("ab", ["c"]),
            TokenName::new("", ["c", "ab"]),
            TokenName::new("", ["abc"]),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{at}");
        }
    }
}
