//! Instructions, by callgrind, and allocations, by a counting allocator.

use std::process::Command;

use crate::work::Work;

/// What callgrind counts: this, and all that it calls. Its name is what callgrind is told to look for.
#[inline(never)]
fn counted_region(work: &mut dyn FnMut()) {
    work();
    std::hint::black_box(());
}

/// Does a piece of work to be counted from outside, and says how many units it had.
pub(crate) fn run(work: Work) {
    println!("{}", work.run(&mut |piece| counted_region(piece)));
}

/// Instructions for each unit of a piece of work.
pub(crate) fn instructions(work: Work) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_region*"])
        .arg(program)
        .args(["run", &work.to_string()])
        .output()
        .map_err(|error| {
            format!("valgrind cannot be started ({error}): install it (Debian: apt-get install valgrind)")
        })?;
    let units: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| failure(work, &output))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let collected: f64 =
        collected.and_then(|(_, count)| count.trim().parse().ok()).ok_or_else(|| failure(work, &output))?;
    Ok(collected / units)
}

fn failure(work: Work, output: &std::process::Output) -> String {
    format!("{work} failed: {}", String::from_utf8_lossy(&output.stderr))
}

/// Allocations for each unit of a piece of work; one that grows counts as one.
pub(crate) fn allocations(work: Work) -> f64 {
    let mut allocations = 0;
    let units = work.run(&mut |piece| {
        let before = crate::ALLOCATOR.stats();
        piece();
        let after = crate::ALLOCATOR.stats();
        allocations += after.allocations + after.reallocations - before.allocations - before.reallocations;
    });
    allocations as f64 / units as f64
}
