//! For tests/kill: die at a named step, and look at what a death left behind.

use crate::arena::{blocks, heap, layout, runs};
use crate::kill_point;
use crate::members;
use crate::sync::Member;
use crate::sync::member::STATE;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Every point's name, and how often this process has passed it.
#[pyfunction]
pub fn kill_points(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let points = PyDict::new(py);
    for (name, passages) in kill_point::NAMES.iter().zip(kill_point::passages()) {
        points.set_item(name, passages)?;
    }
    Ok(points)
}

/// Kill this process at its `nth` passage of a point from now on; with `in_children` those that it forks, each at its own.
/// Who dies writes to the file `fd`, as numbers of 8 bytes: its passages of all points, and 1. An empty name disarms.
#[pyfunction]
#[pyo3(signature = (name, nth = 1, fd = -1, in_children = false))]
pub fn kill_at(name: &str, nth: u64, fd: i32, in_children: bool) -> PyResult<()> {
    let point = match kill_point::NAMES.iter().position(|n| *n == name) {
        Some(point) => point,
        None if name.is_empty() => usize::MAX,
        None => return Err(PyValueError::new_err(format!("there is no kill point {name:?}"))),
    };
    kill_point::arm(point, nth, fd, in_children);
    Ok(())
}

/// The blocks in use: (offset, bytes, state of the owner word, is its owner dead?).
#[pyfunction]
pub fn blocks_in_use() -> Vec<(u64, u64, u64, bool)> {
    let mut found = Vec::new();
    let mut note = |offset, word: u64| {
        if let Some(owner) = Member::of(word) {
            found.push((offset, blocks::size(offset), word & STATE, members::is_dead(owner)));
        }
    };
    runs::each(|first, d| {
        if runs::owner(d).is_none() {
        } else if runs::is(d, runs::Kind::Large) {
            note(first * layout::GRANULE, runs::word(d));
        } else {
            heap::each_block(first, &mut note);
        }
    });
    found
}

/// The rows of the member table that are in use: (state of the ident word, pid or 0).
#[pyfunction]
pub fn rows_in_use() -> Vec<(u64, u32)> {
    members::rows_in_use()
}
