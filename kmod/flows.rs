// SPDX-License-Identifier: GPL-2.0

//! The memory of the connections of draining routes, while there are any such routes.

use kernel::prelude::*;
use kernel::sync::Arc;

use crate::ffi::{cells, random};
use crate::packet::{Flows, CELLS_MIN};

pub(crate) use crate::ffi::cells::Cell;

/// Most flows that can be asked for: 32 MiB.
const CELLS_MAX: usize = 1 << 22;

/// A set of flows, of a size that never changes.
pub(crate) struct FlowMemory {
    cells: KVVec<Cell>,
    key: (u64, u64),
}

impl FlowMemory {
    /// An empty set, of the size that the module's parameter asks for. Process context.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let asked = crate::module_parameters::flows.value() as usize;
        let count = asked.clamp(CELLS_MIN, CELLS_MAX).next_power_of_two();
        Ok(Arc::new(
            Self {
                cells: cells::zeroed(count)?,
                key: (random::u64(), random::u64()),
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// The set as packets see it.
    #[inline(always)]
    pub(crate) fn view(&self) -> Flows<'_, Cell> {
        Flows::new(&self.cells, self.key)
    }

    /// Room for flows.
    pub(crate) fn slots(&self) -> usize {
        self.cells.len()
    }
}
