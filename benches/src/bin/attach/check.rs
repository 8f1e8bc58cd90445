//! Whether attaching a token is as fast as it is said to be, by figures that no other load on the machine changes.

use std::error::Error;

use crate::{TOKEN, count, row};

/// What was counted, and at most how much it may be.
struct Limit(&'static str, f64, f64);

/// Prints what was counted; an error says what is not as it should be.
pub fn check() -> Result<(), Box<dyn Error>> {
    let mut wrong = Vec::new();
    for Limit(what, counted, limit) in limits()? {
        println!("{counted:>6.0} of at most {limit:>6.0}  {what}");
        if counted > limit {
            wrong.push(what);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("too much: {}", wrong.join("; ")).into()) }
}

fn limits() -> Result<Vec<Limit>, Box<dyn Error>> {
    let (set, retry) = (instructions("set")?, instructions("set-retry")?);
    let (layer, replay, key) = (instructions("layer")?, instructions("layer-replay")?, instructions("layer-key")?);
    Ok(vec![
        Limit("instructions, beside 1.5 times those of `SetRequestHeader`", layer, 1.5 * set),
        Limit("instructions for the replay, beside those that `Retry` adds", replay - layer, retry - set),
        Limit("instructions of a request with a key, beside twice the default's", key, 2.0 * layer),
        Limit("allocations", allocations("layer")?, 0.0),
        Limit("allocations of a request with a key", allocations("layer-key")?, 0.0),
        #[cfg(feature = "reqwest")]
        middleware(
            instructions,
            "instructions of the middleware, beside three times those of one that does nothing",
            3.0,
        )?,
        #[cfg(feature = "reqwest")]
        middleware(allocations, "allocations of the middleware, beside those of one that does nothing", 1.0)?,
    ])
}

/// All above the client alone; the copy of the request is not the middleware's doing.
#[cfg(feature = "reqwest")]
fn middleware(
    count: fn(&str) -> Result<f64, Box<dyn Error>>,
    what: &'static str,
    times: f64,
) -> Result<Limit, Box<dyn Error>> {
    let (client, nothing, copying) = (count("client")?, count("nothing")?, count("copying")?);
    Ok(Limit(what, count("middleware")? - client, times * (nothing - client) + (copying - nothing)))
}

fn instructions(name: &str) -> Result<f64, Box<dyn Error>> {
    count::instructions(row(name)?, TOKEN)
}

fn allocations(name: &str) -> Result<f64, Box<dyn Error>> {
    Ok(count::allocations(row(name)?, TOKEN))
}
