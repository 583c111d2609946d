//! The rules of `[scale]`.

use std::time::Duration;

use halod_cluster::Measure;
use toml::Spanned;

use super::{Check, DAY, MINUTE, MS};
use crate::{Scale, file};

impl Check<'_> {
    pub(super) fn scale(&mut self, scale: file::Scale) -> Scale {
        let words = [
            ("connections", Measure::Connections),
            ("value", Measure::Value),
        ];
        let by = self.one_of("by", &scale.by, words);
        let up_at = self.load("up_at", &scale.up_at);
        let down_at = self.load("down_at", &scale.down_at);
        // Otherwise a cluster would grow and shrink in turns.
        if down_at >= up_at && up_at.is_finite() && down_at.is_finite() {
            let text = format!("down_at = {down_at} must be less than up_at, which is {up_at}");
            self.wrong(&scale.down_at.span(), text);
        }
        Scale {
            by,
            up_at,
            down_at,
            hold: self.duration(
                "hold",
                scale.hold.as_ref(),
                Duration::ZERO..=DAY,
                10_000 * MS,
            ),
            interval: self.duration(
                "interval",
                scale.interval.as_ref(),
                Duration::ZERO..=DAY,
                MINUTE,
            ),
        }
    }

    /// A load that a node may have.
    fn load(&mut self, key: &str, value: &Spanned<f64>) -> f64 {
        let load = *value.get_ref();
        if !load.is_finite() || load < 0.0 {
            let text = format!("{key} = {load} is not possible; a number from 0 is");
            self.wrong(&value.span(), text);
        }
        load
    }
}
