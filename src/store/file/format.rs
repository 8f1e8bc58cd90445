//! What an entry looks like in a file.
//!
//! ```text
//! "ccf1" | when it was written, 8 bytes | when its life ends, 8 bytes | sum, 32 bytes | bytes
//! ```
//!
//! Times are nanoseconds since 1970, in big endian. The sum is a SHA-256 of the name, the times and the bytes. It finds
//! files that were swapped or that a power failure damaged; it protects from nobody.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN};
use zeroize::Zeroizing;

use crate::store::contract::EntryName;

const MARK: &[u8; 4] = b"ccf1";
const TIMES: usize = 16;
/// The wall clock may be set back by so much, as time servers do.
const TOLERANCE: u64 = 1_000_000_000;

pub(super) fn encode(name: &EntryName, bytes: &[u8], life: Duration, now: SystemTime) -> Zeroizing<Vec<u8>> {
    let written = nanoseconds(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let times = [written, written.saturating_add(nanoseconds(life))].map(u64::to_be_bytes).concat();
    Zeroizing::new([MARK, &times[..], sum(name, &times, bytes).as_ref(), bytes].concat())
}

/// The bytes of an entry, and what is left of its life.
pub(super) type Living = (Zeroizing<Vec<u8>>, Duration);

/// `None`: its life has ended, it is from the future, or it is damaged.
pub(super) fn decode(name: &EntryName, file: &[u8], now: SystemTime) -> Option<Living> {
    let (times, rest) = file.strip_prefix(MARK)?.split_at_checked(TIMES)?;
    let (found, bytes) = rest.split_at_checked(SHA256_OUTPUT_LEN)?;
    if found != sum(name, times, bytes).as_ref() {
        return None;
    }
    let (written, ends) = times.split_first_chunk()?;
    let [written, ends] = [*written, ends.try_into().ok()?].map(u64::from_be_bytes);
    let now = nanoseconds(now.duration_since(SystemTime::UNIX_EPOCH).ok()?);
    let lives = now < ends && written <= now.saturating_add(TOLERANCE);
    // Never longer than it was put for.
    let left = ends.saturating_sub(now.max(written));
    lives.then(|| (Zeroizing::new(bytes.to_vec()), Duration::from_nanos(left)))
}

fn sum(name: &EntryName, times: &[u8], bytes: &[u8]) -> Digest {
    let mut hash = Context::new(&SHA256);
    // A name contains no line end.
    for part in [name.as_str().as_bytes(), b"\n", times, bytes] {
        hash.update(part);
    }
    hash.finish()
}

/// Until the year 2554.
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{EntryName, decode, encode};

    const SECOND: Duration = Duration::from_secs(1);

    fn name() -> EntryName {
        EntryName::new("9f86d081", "token")
    }

    #[test]
    fn a_life_is_counted_by_the_wall_clock() {
        let now = SystemTime::now();
        let file = encode(&name(), b"abc", 10 * SECOND, now);
        let left = |now| decode(&name(), &file, now).map(|(_, life)| life);
        assert_eq!(left(now), Some(10 * SECOND));
        assert_eq!(left(now + 4 * SECOND), Some(6 * SECOND));
        assert_eq!(left(now + 10 * SECOND), None);
        // A clock that was set back makes no life longer.
        assert_eq!(left(now - SECOND), Some(10 * SECOND));
        assert_eq!(left(now - SECOND - Duration::from_nanos(1)), None, "from the future");
        assert_eq!(left(SystemTime::UNIX_EPOCH), None);
        assert_eq!(left(SystemTime::UNIX_EPOCH - SECOND), None);
    }

    #[test]
    fn the_longest_life_ends_in_five_hundred_years() {
        let now = SystemTime::now();
        let file = encode(&name(), b"abc", Duration::MAX, now);
        let (_, life) = decode(&name(), &file, now).expect("it lives");
        assert!(life > Duration::from_secs(500 * 365 * 24 * 60 * 60));
    }

    /// Each byte counts, and no length panics.
    #[test]
    fn a_damaged_or_swapped_file_is_absent() {
        let now = SystemTime::now();
        let file = encode(&name(), b"abc", SECOND, now);
        assert!(decode(&EntryName::new("9f86d081", "lease"), &file, now).is_none(), "swapped");
        assert!(decode(&name(), &[&file[..], b"d"].concat(), now).is_none(), "longer");
        assert!(decode(&name(), &vec![0; file.len()], now).is_none(), "only zeros");
        for at in 0..file.len() {
            assert!(decode(&name(), &file[..at], now).is_none(), "cut at {at}");
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(decode(&name(), &damaged, now).is_none(), "damaged at {at}");
        }
    }
}
