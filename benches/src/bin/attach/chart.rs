//! The instructions as a picture in SVG, for light and dark backgrounds.

use std::fmt::Write;

use crate::{
    limits::INSTRUCTIONS,
    report::{Figures, above, find},
};

/// The rows that are drawn, in this order, with their labels and classes.
const BARS: &[(&str, &str, &str)] = &[
    ("set", "tower-http SetRequestHeader", "known"),
    ("layer", "BearerAuthLayer", "ours"),
    ("layer-key", "the same, a request with a key", "ours"),
    ("set-retry", "SetRequestHeader in tower's Retry", "known"),
    ("layer-replay", "BearerAuthLayer with replay", "ours"),
    ("nothing", "a reqwest middleware that does nothing", "known"),
    ("middleware-once", "BearerAuthMiddleware without replay", "ours"),
    ("middleware", "BearerAuthMiddleware", "ours"),
    ("middle", "middle (no expiry, no response looked at)", "peer"),
    ("aliri", "aliri_tokens", "peer"),
    ("aliri-reqwest", "aliri_reqwest", "peer"),
    ("azure", "azure_core, bearer policy", "peer"),
    ("huskarl", "huskarl", "peer"),
    ("google", "google-cloud-auth", "peer"),
    ("cf-gears", "cf-gears-toolkit-auth", "peer"),
    ("aws", "aws-smithy-runtime", "peer"),
];

const WIDTH: f64 = 860.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 100.0;
const TOP: f64 = 66.0;
const STEP: f64 = 24.0;

const STYLE: &str = "
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-size: 15px; font-weight: 600; }
    .known { fill: #8c959f; } .ours { fill: #0969da; } .peer { fill: #d0a45c; }
    .limit { stroke: #cf222e; stroke-width: 3; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .known { fill: #8b949e; } .ours { fill: #4493f8; } .peer { fill: #c69026; }
      .limit { stroke: #ff7b72; }
    }
  ";

pub fn chart(all: &[Figures]) -> String {
    let instructions = |figures: &Figures| figures.instructions;
    let bars: Vec<_> = BARS.iter().filter_map(|&bar| Some((bar, above(all, bar.0, instructions)?.max(0.0)))).collect();
    let longest =
        bars.iter().flat_map(|&((name, ..), value)| [Some(value), most(all, name)]).flatten().fold(1.0, f64::max);
    let x = |value: f64| LEFT + value / longest * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + STEP * bars.len() as f64;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\">\n  \
         <title>Instructions to attach a cached token of 1 KiB to a request</title>\n  <style>{STYLE}</style>\n  \
         <text class=\"title\" x=\"12\" y=\"24\">Instructions to attach a cached token of 1 KiB, per request, above the client \
         alone</text>\n  \
         <line class=\"limit\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"35\" y2=\"53\"/>\n  \
         <text x=\"{}\" y=\"49\">at most so much is allowed</text>\n",
        bottom + 12.0,
        LEFT + 8.0
    );
    for (index, ((name, label, class), value)) in bars.iter().enumerate() {
        let y = TOP + STEP * index as f64;
        let (width, middle) = (x(*value) - LEFT, y + 13.0);
        let limit = most(all, name);
        let end = limit.map_or(*value, |most| most.max(*value));
        let (end, of) = (x(end) + 6.0, limit.map(|most| format!(" of {most:.0}")).unwrap_or_default());
        let _ = writeln!(
            svg,
            "  <text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{label}</text>\n  \
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"17\" rx=\"2\"/>\n  \
             <text x=\"{end:.1}\" y=\"{middle}\">{value:.0}{of}</text>",
            LEFT - 8.0
        );
        if let Some(most) = limit {
            let at = x(most);
            let _ = writeln!(
                svg,
                "  <line class=\"limit\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\"/>",
                y - 3.0,
                y + 20.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// What a row may cost above the client, as its bar is drawn.
fn most(all: &[Figures], name: &str) -> Option<f64> {
    let limit = INSTRUCTIONS.iter().find(|limit| limit.row == name)?;
    let of = |name: &str| find(all, name).and_then(|figures| figures.instructions).unwrap_or(f64::NAN);
    let most = (limit.most)(&of) - of(find(all, name)?.row.base);
    most.is_finite().then_some(most)
}
