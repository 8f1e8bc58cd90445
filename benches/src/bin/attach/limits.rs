//! What attaching a token may cost, in figures that do not depend on other load on the machine.

use std::{collections::HashMap, error::Error};

use benches::rows;

use crate::{TOKEN, count};

pub struct Limit {
    pub row: &'static str,
    why: &'static str,
    pub most: fn(&Counted<'_>) -> f64,
}

/// The figures of other rows, by their names.
pub type Counted<'a> = dyn Fn(&str) -> f64 + 'a;

pub const INSTRUCTIONS: &[Limit] = &[
    Limit {
        row: "layer",
        why: "above `none`, 1.7 times `set`",
        most: |of| of("none") + 1.7 * (of("set") - of("none")),
    },
    Limit { row: "layer-key", why: "1.15 times `layer`", most: |of| 1.15 * of("layer") },
    Limit { row: "layer-replay", why: "1.1 times `set-retry`", most: |of| 1.1 * of("set-retry") },
    Limit {
        row: "middleware",
        why: "above `client`, 2.5 times `nothing`, and the copy of the request",
        most: |of| of("client") + 2.5 * (of("nothing") - of("client")) + of("copying") - of("nothing"),
    },
    Limit {
        row: "middleware-once",
        why: "above `client`, 2.5 times `nothing`",
        most: |of| of("client") + 2.5 * (of("nothing") - of("client")),
    },
];

const ALLOCATIONS: &[Limit] = &[
    Limit { row: "layer", why: "none", most: |_| 0.0 },
    Limit { row: "layer-key", why: "none", most: |_| 0.0 },
    Limit { row: "layer-replay", why: "as `set-retry`: the copy of the request", most: |of| of("set-retry") },
    Limit { row: "middleware", why: "one more than `client`, and the copy of the request", most: |of| of("copying") },
    Limit { row: "middleware-once", why: "one more than `client`", most: |of| of("nothing") },
];

/// The rows that the limits mention.
const NAMED: &[&str] = &[
    "none",
    "set",
    "set-retry",
    "layer",
    "layer-key",
    "layer-replay",
    "client",
    "nothing",
    "copying",
    "middleware",
    "middleware-once",
];

/// Prints what was counted. The error says which limits are exceeded.
pub fn check() -> Result<(), Box<dyn Error>> {
    let (mut instructions, mut allocations) = (HashMap::new(), HashMap::new());
    for row in rows::all().filter(|row| NAMED.contains(&row.name)) {
        instructions.insert(row.name, count::instructions(row, TOKEN)?);
        allocations.insert(row.name, count::allocations(row, TOKEN));
    }
    let wrong =
        [exceeded("instructions", INSTRUCTIONS, &instructions), exceeded("allocations", ALLOCATIONS, &allocations)];
    match &wrong.concat()[..] {
        [] => Ok(()),
        wrong => Err(format!("too much: {}", wrong.join(", ")).into()),
    }
}

fn exceeded(what: &str, limits: &[Limit], counted: &HashMap<&str, f64>) -> Vec<String> {
    let mut wrong = Vec::new();
    for limit in limits {
        // Without the feature reqwest, there is no middleware.
        let Some(figure) = counted.get(limit.row) else { continue };
        let most = (limit.most)(&|row| counted[row]);
        println!("{:<15} {figure:>6.0} {what} of at most {most:>6.0}: {}", limit.row, limit.why);
        if *figure > most {
            wrong.push(format!("the {what} of {}", limit.row));
        }
    }
    wrong
}
