//! How long an entry lives.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Checked,
    bench::{Bench, LIFE, expect},
};

const SHORT: Duration = Duration::from_millis(400);
/// Stores may round what is left to seconds, and need not forget at the very millisecond.
const TOLERANCE: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn end(bench: Bench) -> Checked {
    let (name, start) = (bench.name(), Instant::now());
    bench.store(&name, b"first", SHORT).await?;
    let found = bench.bytes(&name).await?;
    // A slow machine proves nothing.
    expect(found.is_some() || start.elapsed() >= SHORT, "it was absent before")?;
    sleep(SHORT + TOLERANCE).await;
    bench.expect_stored(&name, None, "after the end of its life").await?;
    let stored = bench.put(&name, Some(b"first"), b"second").await?;
    expect(!stored, "put found it equal to the old value after the end of its life")?;
    expect(!bench.remove(&name, b"first").await?, "remove found it after the end of its life")?;
    bench.store(&name, b"second", LIFE).await
}

pub(super) async fn left(bench: Bench) -> Checked {
    let (name, start) = (bench.name(), Instant::now());
    bench.store(&name, b"first", LIFE).await?;
    let stored = Instant::now();
    sleep(TOLERANCE + Duration::from_millis(500)).await;
    let shortest = stored.elapsed();
    let Some(entry) = bench.load(&name).await? else { return Err("load returned nothing".into()) };
    let range = LIFE.saturating_sub(start.elapsed() + TOLERANCE)..=(LIFE - shortest + TOLERANCE).min(LIFE);
    let (after, life) = (start.elapsed(), entry.life);
    expect(range.contains(&life), format!("{after:?} after it was put for {LIFE:?}, load returned a life of {life:?}"))
}

pub(super) async fn replaced(bench: Bench) -> Checked {
    let [shorter, longer] = bench.names(["token", "lease"]);
    bench.store(&shorter, b"first", LIFE).await?;
    let stored = bench.put_for(&shorter, Some(b"first"), b"first", SHORT).await?;
    expect(stored, "put returned false")?;
    let start = Instant::now();
    bench.store(&longer, b"first", SHORT).await?;
    let stored = bench.put(&longer, Some(b"first"), b"second").await?;
    expect(stored || start.elapsed() >= SHORT, "put returned false")?;
    sleep(SHORT + TOLERANCE).await;
    bench.expect_stored(&shorter, None, "after the end of a life that was made shorter").await?;
    let expected = stored.then_some(&b"second"[..]);
    bench.expect_stored(&longer, expected, "after the end of a life that was made longer").await
}

pub(super) async fn refused(bench: Bench) -> Checked {
    let (name, start) = (bench.name(), Instant::now());
    bench.store(&name, b"first", SHORT).await?;
    let outcomes = [
        bench.put(&name, None, b"first").await?,
        bench.put(&name, Some(b"other"), b"first").await?,
        bench.remove(&name, b"other").await?,
    ];
    // A put that came after its end was not refused.
    if start.elapsed() < SHORT {
        expect(outcomes == [false; 3], "it was not refused")?;
        sleep(SHORT + TOLERANCE).await;
        bench.expect_stored(&name, None, "after the end of its life").await?;
    }
    Ok(())
}

pub(super) async fn long(bench: Bench) -> Checked {
    let name = bench.name();
    bench.store(&name, b"first", 400 * DAY).await?;
    let life = bench.load(&name).await?.map(|entry| entry.life);
    expect(life.is_some_and(|life| life > 399 * DAY), format!("load returned a life of {life:?}"))
}
