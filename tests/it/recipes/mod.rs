//! The recipes of `docs/recipes.md`: each is the beginning of a file here, and tested behind it.

mod claims_challenge;
mod json_request;
mod nested_token;
mod rate_limit_reset;
#[cfg(feature = "rustls")]
mod rotating_certificate;
mod tenants;

const PAGE: &str = include_str!("../../../docs/recipes.md");

const FILES: [&str; 6] = [
    include_str!("claims_challenge.rs"),
    include_str!("json_request.rs"),
    include_str!("nested_token.rs"),
    include_str!("rate_limit_reset.rs"),
    include_str!("rotating_certificate.rs"),
    include_str!("tenants.rs"),
];

#[test]
fn the_page_has_the_recipes_that_are_tested_here() {
    let blocks = PAGE.split("```rust\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let blocks: Vec<_> = blocks.collect();
    assert_eq!(blocks.len(), FILES.len());
    for file in FILES {
        let recipe = file.split("\n\nmod tests").next().and_then(|text| text.split_once("\n\n")).expect("a recipe").1;
        let recipe = recipe.strip_suffix("#[cfg(test)]").unwrap_or(recipe).trim_end();
        assert!(blocks.iter().any(|block| block.trim_end() == recipe), "not on the page as it is tested:\n{recipe}");
    }
}
