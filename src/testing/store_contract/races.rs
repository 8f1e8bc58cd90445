//! What happens at the same time, too late, or to the end of nobody.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Checked,
    bench::{Bench, LIFE, LIMIT, expect},
};
use crate::store::EntryName;

pub(super) async fn one_wins(bench: Bench) -> Checked {
    for _ in 0..20 {
        let name = bench.name();
        let first = |new: usize| (bench.clone(), name.clone(), new.to_string());
        let won = all(16, |new| {
            let (bench, name, new) = first(new);
            async move { bench.put(&name, None, new.as_bytes()).await }
        });
        let stored = winner(&won.await?, "put without an old value")?.to_string();
        bench.expect_stored(&name, Some(stored.as_bytes()), "after the put that won").await?;
        let won = all(16, |new| {
            let (bench, name, new) = first(new + 100);
            let stored = stored.clone();
            // One of them removes: that is a change like the others.
            async move {
                match new.as_str() {
                    "100" => bench.remove(&name, stored.as_bytes()).await,
                    new => bench.put(&name, Some(stored.as_bytes()), new.as_bytes()).await,
                }
            }
        });
        let expected = match winner(&won.await?, "put or remove with the same old value")? {
            0 => None,
            new => Some((new + 100).to_string()),
        };
        let expected = expected.as_ref().map(String::as_bytes);
        bench.expect_stored(&name, expected, "after the operation that won").await?;
    }
    Ok(())
}

pub(super) async fn count(bench: Bench) -> Checked {
    let name = bench.name();
    bench.store(&name, b"0", LIFE).await?;
    let counted = all(8, |_| {
        let (bench, name) = (bench.clone(), name.clone());
        async move {
            for _ in 0..10 {
                while !increment(&bench, &name).await? {
                    sleep(Duration::from_millis(fastrand::u64(..10))).await;
                }
            }
            Ok(true)
        }
    });
    counted.await?;
    bench.expect_stored(&name, Some(b"80"), "after 80 increments").await
}

async fn increment(bench: &Bench, name: &EntryName) -> Checked<bool> {
    let old = bench.bytes(name).await?.ok_or("load returned nothing")?;
    let count: u32 = String::from_utf8_lossy(&old).parse().map_err(|_| "load returned something else")?;
    bench.put(name, Some(&old), (count + 1).to_string().as_bytes()).await
}

pub(super) async fn late(bench: Bench) -> Checked {
    let names = bench.names(["token", "lease"]);
    let [absent, present] = &names;
    bench.store(present, b"first", LIFE).await?;
    let old = |name| (name == present).then_some(&b"first"[..]);
    for name in &names {
        // Whatever it returns: it has arrived after its limit.
        let _ = bench.store.put(name, old(name), b"late", LIFE, Duration::ZERO).await;
        bench.expect_stored(name, old(name), "after a put with a limit of zero").await?;
    }
    let name = absent;
    let limit = Duration::from_millis(2);
    let puts = all(32, |new| {
        let (bench, name) = (bench.clone(), name.clone());
        async move {
            let new = new.to_string();
            let put = bench.store.put(&name, None, new.as_bytes(), LIFE, limit);
            Ok(timeout(limit, put).await.is_ok())
        }
    });
    puts.await?;
    sleep(Duration::from_millis(250)).await;
    let then = bench.bytes(name).await?;
    sleep(Duration::from_millis(500)).await;
    bench.expect_stored(name, then.as_deref(), "long after the limit of the last put").await
}

pub(super) async fn dropped(bench: Bench) -> Checked {
    let name = bench.name();
    let mut stored = b"first".to_vec();
    bench.store(&name, &stored, LIFE).await?;
    for step in 0..12 {
        let new = format!("dropped after {step}").into_bytes();
        drop_after(step, bench.store.load(std::slice::from_ref(&name))).await;
        drop_after(step, bench.store.put(&name, Some(&stored), &new, LIFE, Duration::from_millis(100))).await;
        drop_after(step, bench.store.remove(&name, b"other")).await;
        sleep(Duration::from_millis(200)).await;
        let Some(found) = bench.bytes(&name).await? else { return Err("it is gone".into()) };
        expect(found == stored || found == new, "something else is stored")?;
        stored = format!("after {step}").into_bytes();
        let put = timeout(LIMIT, bench.put(&name, Some(&found), &stored)).await;
        expect(put.map_err(|_| "the next put does not end")??, "the next put returned false")?;
    }
    Ok(())
}

/// Begins it, and drops it: at first after a number of polls, later after milliseconds.
async fn drop_after<T>(step: u32, operation: impl Future<Output = T>) {
    if step > 5 {
        let _ = timeout(Duration::from_millis(u64::from(step - 5)), operation).await;
        return;
    }
    let (mut operation, mut polls) = (pin!(operation), 0..step);
    poll_fn(|cx| match polls.next() {
        Some(_) if operation.as_mut().poll(cx).is_pending() => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await;
}

/// Runs them at the same time: who succeeded.
async fn all<F>(how_many: usize, run: impl Fn(usize) -> F) -> Checked<Vec<usize>>
where
    F: Future<Output = Checked<bool>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for which in 0..how_many {
        let run = run(which);
        tasks.spawn(async move { run.await.map(|won| won.then_some(which)) });
    }
    let mut won = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        won.extend(outcome.map_err(|error| error.to_string())??);
    }
    Ok(won)
}

fn winner(won: &[usize], what: &str) -> Checked<usize> {
    match won {
        [winner] => Ok(*winner),
        _ => Err(format!("{} operations succeeded ({what})", won.len())),
    }
}
