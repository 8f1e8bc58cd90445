//! How long a request takes, in rounds: every row has a turn in each, so that other load on the machine affects all of
//! them alike.

use std::{
    sync::Barrier,
    thread::{available_parallelism, scope},
    time::{Duration, Instant},
};

use benches::rows::Row;
use cpu_time::ThreadTime;

/// About how long one thread sends in a turn: less than a time slice of the scheduler.
const TURN: Duration = Duration::from_millis(4);
const ROUNDS: usize = 25;
/// Not every turn counts.
const MOST_ROUNDS: usize = 8 * ROUNDS;
/// A turn of one or two threads counts if each of them ran for that part of the time, and beside the other.
const TOGETHER: f64 = 0.9;

/// Nanoseconds of one request, the median of the turns that count.
pub struct Times {
    pub one: Option<f64>,
    /// Each of two threads.
    pub two: Option<f64>,
    /// With eight threads, the time of all cores together.
    pub eight: Option<f64>,
}

pub fn times(rows: &[&Row], token: usize) -> Vec<Times> {
    let cores = available_parallelism().map_or(1, usize::from);
    let rows: Vec<_> = rows.iter().map(|row| (row.senders(token), row.requests)).collect();
    let counts: Vec<_> = rows.iter().map(|(senders, requests)| how_often(&mut senders(), *requests)).collect();
    let mut all: Vec<[Vec<f64>; 3]> = rows.iter().map(|_| Default::default()).collect();
    for _ in 0..MOST_ROUNDS {
        for (((senders, requests), &count), [one, two, eight]) in rows.iter().zip(&counts).zip(&mut all) {
            for (threads, times) in [(1, one), (2, two)] {
                if times.len() < ROUNDS && threads <= cores {
                    let turn = Turn::take(threads, count, *requests, senders);
                    if turn.is_together() {
                        times.push(turn.longest().as_nanos() as f64 / count as f64);
                    }
                }
            }
            if eight.len() < ROUNDS {
                let time = Turn::take(8, count, *requests, senders).whole().as_nanos() * cores.min(8) as u128;
                eight.push(time as f64 / (8 * count) as f64);
            }
        }
    }
    all.into_iter()
        .map(|[one, two, eight]| Times { one: median(one), two: median(two), eight: median(eight) })
        .collect()
}

fn how_often(send: &mut dyn FnMut(), requests: usize) -> usize {
    let mut count = 1000;
    (0..2 * requests.max(count)).for_each(|_| send());
    loop {
        let start = Instant::now();
        (0..count).for_each(|_| send());
        if start.elapsed() > TURN / 4 {
            return (count as f64 * TURN.as_secs_f64() / start.elapsed().as_secs_f64()) as usize;
        }
        count *= 2;
    }
}

struct Turn {
    threads: Vec<Thread>,
}

struct Thread {
    start: Instant,
    end: Instant,
    ran: Duration,
}

impl Turn {
    fn take(threads: usize, count: usize, requests: usize, senders: &benches::rows::Senders) -> Self {
        let barrier = Barrier::new(threads);
        let thread = || {
            let mut send = senders();
            // A thread's first request with a key makes its entry, which is not what is measured.
            (0..requests.max(count / 10)).for_each(|_| send());
            barrier.wait();
            let (start, cpu) = (Instant::now(), ThreadTime::now());
            (0..count).for_each(|_| send());
            Thread { start, end: Instant::now(), ran: cpu.elapsed() }
        };
        let threads = scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        Self { threads }
    }

    fn longest(&self) -> Duration {
        self.threads.iter().map(Thread::took).max().unwrap_or_default()
    }

    /// From when the first one started to when the last one ended.
    fn whole(&self) -> Duration {
        let start = self.threads.iter().map(|thread| thread.start).min();
        let end = self.threads.iter().map(|thread| thread.end).max();
        end.zip(start).map_or(Duration::ZERO, |(end, start)| end - start)
    }

    fn is_together(&self) -> bool {
        let start = self.threads.iter().map(|thread| thread.start).max();
        let end = self.threads.iter().map(|thread| thread.end).min();
        let together = end.zip(start).map_or(Duration::ZERO, |(end, start)| end.saturating_duration_since(start));
        let ran = self.threads.iter().all(|thread| thread.ran >= thread.took().mul_f64(TOGETHER));
        ran && together >= self.longest().mul_f64(TOGETHER)
    }
}

impl Thread {
    fn took(&self) -> Duration {
        self.end - self.start
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
