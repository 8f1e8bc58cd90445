//! The bytes of what is stored: a list of numbered fields. Readers skip the numbers that they do not know.

use std::borrow::Cow;

use zeroize::Zeroizing;

#[derive(Default)]
pub(super) struct Record<'a>(Vec<(u8, Cow<'a, [u8]>)>);

impl<'a> Record<'a> {
    /// `None` adds nothing.
    pub(super) fn text(mut self, number: u8, value: impl Into<Option<&'a str>>) -> Self {
        self.0.extend(value.into().map(|value| (number, Cow::Borrowed(value.as_bytes()))));
        self
    }

    /// `None` adds nothing.
    pub(super) fn number(mut self, number: u8, value: impl Into<Option<u64>>) -> Self {
        self.0.extend(value.into().map(|value| (number, Cow::Owned(value.to_be_bytes().to_vec()))));
        self
    }

    /// With enough capacity from the start: growing would leave copies of a token behind.
    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        let length = self.0.iter().map(|(_, value)| 5 + value.len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        for (number, value) in &self.0 {
            bytes.push(*number);
            bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
    }

    /// `None`: cut off.
    pub(super) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while let Some((number, rest)) = bytes.split_first() {
            let (length, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
            fields.push((*number, Cow::Borrowed(value)));
            bytes = rest;
        }
        Some(Self(fields))
    }

    /// All fields of that number, in the order written.
    pub(super) fn texts(&self, number: u8) -> impl Iterator<Item = &str> {
        let of_it = self.0.iter().filter(move |(of, _)| *of == number);
        of_it.filter_map(|(_, value)| std::str::from_utf8(value).ok())
    }

    pub(super) fn find_text(&self, number: u8) -> Option<&str> {
        self.texts(number).next()
    }

    pub(super) fn find_number(&self, number: u8) -> Option<u64> {
        let (_, value) = self.0.iter().find(|(of, _)| *of == number)?;
        Some(u64::from_be_bytes(value.as_ref().try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::Record;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_off_is_not() {
        let written = Record::default().text(1, "abcde").number(2, u64::MAX).text(3, "").text(1, "\u{fc}").write();
        let read = Record::read(&written).expect("whole");
        assert_eq!(read.texts(1).collect::<Vec<_>>(), ["abcde", "\u{fc}"]);
        assert_eq!((read.find_number(2), read.find_text(3), read.find_text(4)), (Some(u64::MAX), Some(""), None));
        assert_eq!((read.find_number(1), read.find_text(2)), (None, None), "of another type");
        let ends = [0, 10, 23, 28, written.len()];
        for at in 0..written.len() {
            assert_eq!(Record::read(&written[..at]).is_some(), ends.contains(&at), "cut at {at}");
        }
    }
}
