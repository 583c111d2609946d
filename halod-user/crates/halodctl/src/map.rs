//! The route table as a map: one sign a route, the same sign and colour for
//! the routes of one slot.

use std::fmt::Write;

use anstyle::{Ansi256Color, AnsiColor, Color, Style};

/// Routes on a line.
pub const ROUTES_A_LINE: usize = 24;

/// Backgrounds that black text can be read on, neighbours far apart.
const COLOURS: [u8; 12] = [114, 180, 111, 211, 80, 222, 141, 150, 216, 75, 176, 187];

/// The sign of a slot: its number up to 9, then letters, then again from 1.
pub fn sign(slot: Option<u32>) -> char {
    const SIGNS: &[u8] = b"123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    match slot.and_then(|slot| slot.checked_sub(1)) {
        Some(index) => char::from(SIGNS[index as usize % SIGNS.len()]),
        None => '.',
    }
}

fn style(slot: Option<u32>) -> Style {
    match slot.and_then(|slot| slot.checked_sub(1)) {
        Some(index) => {
            let background = COLOURS[index as usize % COLOURS.len()];
            Style::new()
                .fg_color(Some(Color::Ansi(AnsiColor::Black)))
                .bg_color(Some(Color::Ansi256(Ansi256Color(background))))
        }
        None => Style::new()
            .fg_color(Some(Color::Ansi(AnsiColor::BrightWhite)))
            .bg_color(Some(Color::Ansi(AnsiColor::Red))),
    }
}

/// The map. `slots` has the slot of route 1, 2, ..., where a node fills it.
pub fn draw(slots: &[Option<u32>]) -> String {
    let width = slots.len().to_string().len();
    let mut text = String::new();
    for (line, routes) in slots.chunks(ROUTES_A_LINE).enumerate() {
        let first = line * ROUTES_A_LINE + 1;
        let _ = write!(text, "{first:>width$} ");
        for run in routes.chunk_by(|a, b| a == b) {
            let style = style(run[0]);
            let signs: String = run.iter().map(|&slot| sign(slot)).collect();
            let _ = write!(text, "{style}{signs}{style:#}");
        }
        let _ = writeln!(text, " {}", first + routes.len() - 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_24_routes() {
        let slots: Vec<_> = (0..30)
            .map(|route| [Some(1), Some(2), None][route / 10])
            .collect();
        let plain = anstream::adapter::strip_str(&draw(&slots)).to_string();
        assert_eq!(plain, " 1 11111111112222222222.... 24\n25 ...... 30\n");
    }

    #[test]
    fn signs_are_enough_for_any_slot() {
        let signs: String = [1, 9, 10, 35, 36, 61, 62]
            .map(|slot| sign(Some(slot)))
            .iter()
            .collect();
        assert_eq!(signs, "19azAZ1");
        assert_eq!(sign(Some(0)), '.');
        assert_eq!(sign(Some(u32::MAX)), sign(Some((u32::MAX - 1) % 61 + 1)));
    }
}
