//! The figures, as tables in Markdown.

use std::error::Error;

use benches::rows::Row;

use crate::{
    TOKEN, chart,
    count::{self, allocations, instructions},
    time::{Times, times},
};

pub struct Figures {
    pub row: &'static Row,
    /// Without valgrind, none.
    pub instructions: Option<f64>,
    allocations: f64,
    times: Option<Times>,
}

/// Prints instructions and allocations.
pub fn counts(rows: &[&'static Row], token: usize) -> Result<(), Box<dyn Error>> {
    println!("| {:<15} | {:>12} | {:>11} | {:<60} |", "", "instructions", "allocations", "what");
    println!("| {:-<15} | {:->11}: | {:->10}: | {:-<60} |", "", "", "", "");
    for row in rows {
        let figures = Figures::of(row, token)?;
        println!(
            "| {:<15} | {:>12} | {:>11.1} | {:<60} |",
            row.name,
            text(figures.instructions, 0),
            figures.allocations,
            row.what
        );
    }
    Ok(())
}

/// Prints how long a request takes with one, two and eight threads.
pub fn timed(rows: &[&'static Row], token: usize) {
    println!("| row | ns, 1 thread | 2 threads | 8 threads |");
    println!("| --- | ---: | ---: | ---: |");
    for (row, Times { one, two, eight }) in rows.iter().zip(times(rows, token)) {
        println!("| `{}` | {} | {} | {} |", row.name, text(one, 0), text(two, 0), text(eight, 0));
    }
}

/// Prints all figures of these rows, and draws the instructions.
pub fn everything(rows: &[&'static Row], file: &str) -> Result<(), Box<dyn Error>> {
    for token in [32, TOKEN, 4096] {
        let mut all = Vec::new();
        for (row, times) in rows.iter().zip(times(rows, token)) {
            all.push(Figures { times: Some(times), ..Figures::of(row, token)? });
        }
        println!("\n### A token of {token} bytes\n");
        table(&all);
        if token == TOKEN {
            std::fs::write(file, chart::chart(&all))?;
        }
    }
    Ok(())
}

impl Figures {
    fn of(row: &'static Row, token: usize) -> Result<Self, Box<dyn Error>> {
        let instructions = if count::has_valgrind() { Some(instructions(row, token)?) } else { None };
        Ok(Self { row, instructions, allocations: allocations(row, token), times: None })
    }
}

/// How much a row's figure exceeds that of its base.
pub fn above(all: &[Figures], name: &str, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    let row = find(all, name)?;
    Some(figure(row)? - figure(find(all, row.row.base)?)?)
}

pub fn find<'a>(all: &'a [Figures], name: &str) -> Option<&'a Figures> {
    all.iter().find(|figures| figures.row.name == name)
}

fn table(all: &[Figures]) {
    let header =
        ["instructions", "× set", "allocations", "ns, 1 thread", "× set", "2 threads, × set", "8 threads, × set"];
    println!("| row | {} | what |", header.join(" | "));
    println!("| --- |{} --- |", " ---: |".repeat(header.len()));
    let time = |of: fn(&Times) -> Option<f64>| move |figures: &Figures| of(figures.times.as_ref()?);
    let (one, two, eight) = (time(|times| times.one), time(|times| times.two), time(|times| times.eight));
    // By definition, each base is what `none` is.
    for figures in all.iter().filter(|figures| figures.row.name == "none" || figures.row.name != figures.row.base) {
        let name = figures.row.name;
        let allocations = above(all, name, |figures| Some(figures.allocations));
        let columns = [
            text(like_the_layer(all, name, |figures| figures.instructions), 0),
            text(ratio(all, name, |figures| figures.instructions), 2),
            text(allocations, 1),
            text(like_the_layer(all, name, one), 0),
            text(ratio(all, name, one), 2),
            text(ratio(all, name, two), 2),
            text(ratio(all, name, eight), 2),
        ];
        println!("| `{name}` | {} | {} |", columns.join(" | "), figures.row.what);
    }
}

/// The figure as it would be with the client of the layers.
fn like_the_layer(all: &[Figures], name: &str, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    let none = figure(find(all, "none")?)?;
    Some(above(all, name, figure)? + none)
}

fn ratio(all: &[Figures], name: &str, figure: impl Fn(&Figures) -> Option<f64> + Copy) -> Option<f64> {
    Some(like_the_layer(all, name, figure)? / like_the_layer(all, "set", figure)?)
}

fn text(figure: Option<f64>, digits: usize) -> String {
    figure.map_or("–".into(), |figure| format!("{figure:.digits$}"))
}
