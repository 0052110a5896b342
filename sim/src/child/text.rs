//! The program's own code on huge pages.
//!
//! A run walks through megabytes of code (the SQL engine, HTTP, the system under test) and comes back to each part thousands of times; on
//! pages of 4 KiB the processor spends a tenth of its time on finding them. What a run computes does not depend on it.
//!
//! **Invariant**: the code has the same bytes at the same addresses before and after, and where anything is refused it stays where it was.
//! It deliberately is no setting: it is done once it pays ([`WORTH`]).
#![expect(unsafe_code, reason = "memory is mapped and moved by system calls")]

use std::fs;

/// Children after which a process has its code moved: copying it costs as much as a few short runs gain.
pub(super) const WORTH: u32 = 8;

/// What the kernel says of huge pages.
const SETTINGS: &str = "/sys/kernel/mm/transparent_hugepage";

/// Moves this program's code to huge pages, as far as it fills them.
pub(super) fn to_huge_pages() {
    if let (Some(page), Some((start, end))) = (huge_page(), code()) {
        let (start, end) = (start.next_multiple_of(page), end / page * page);
        if start < end {
            replace(start, end - start, page);
        }
    }
}

/// The size of a huge page, where a program may ask for them.
fn huge_page() -> Option<usize> {
    let read = |name| fs::read_to_string(format!("{SETTINGS}/{name}")).ok();
    let allowed = !read("enabled")?.contains("[never]");
    let page: usize = read("hpage_pmd_size")?.trim().parse().ok()?;
    (allowed && page.is_power_of_two()).then_some(page)
}

/// From where to where the mapping goes that holds this very function: the program's code.
fn code() -> Option<(usize, usize)> {
    let here = code as fn() -> Option<(usize, usize)> as usize;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        ((start..end).contains(&here) && rest.starts_with("r-xp")).then_some((start, end))
    })
}

/// Puts a copy on huge pages in place of the `length` bytes of code from `start` on, both multiples of `page`.
fn replace(start: usize, length: usize, page: usize) {
    let room = length + page;
    // SAFETY: a new private mapping anywhere; nothing that exists is touched.
    let made = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            room,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if made == libc::MAP_FAILED {
        return;
    }
    let skipped = (made as usize).next_multiple_of(page) - made as usize;
    // SAFETY: `skipped` is less than a page, so `copy` and the `length` bytes from there on lie within the new mapping.
    let copy = unsafe { made.byte_add(skipped) };
    // SAFETY: the source is the program's code, mapped and readable for `length` bytes and never written; the target was just mapped, is
    // writable for as many, and overlaps nothing. The calls change the new mapping alone.
    let ready = unsafe {
        libc::madvise(copy, length, libc::MADV_HUGEPAGE) == 0 && {
            std::ptr::copy_nonoverlapping(start as *const u8, copy.cast(), length);
            libc::mprotect(copy, length, libc::PROT_READ | libc::PROT_EXEC) == 0
        }
    };
    // SAFETY: one system call puts the copy where the code was, with the same bytes, so whatever runs there, in any thread, goes on; where it
    // is refused, its checks come before it unmaps anything, and the code is where it was.
    let moved = ready
        && unsafe {
            libc::mremap(
                copy,
                length,
                length,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                start as *mut libc::c_void,
            )
        } != libc::MAP_FAILED;
    // What is left of the new mapping. Where the copy was, another thread may have something else by now.
    let kept = if moved { length } else { 0 };
    for (from, length) in [(0, skipped), (skipped + kept, room - skipped - kept)] {
        // SAFETY: a part of the mapping of this function's own that nothing else knows.
        unsafe { libc::munmap(made.byte_add(from), length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on_where_it_was_and_what_it_maps_is_known() {
        let before = code().expect("a program has code");
        let here = code as fn() -> Option<(usize, usize)> as usize;
        let sum = |text: &str| text.bytes().map(u64::from).sum::<u64>();
        let told = sum("the same code");
        to_huge_pages();
        assert_eq!(sum("the same code"), told);
        let after = code().expect("a program has code");
        assert!((after.0..after.1).contains(&here));
        assert!(before.0 <= after.0 && after.1 <= before.1);
        let page = huge_page().unwrap_or(1 << 21);
        // Whole huge pages of it are a mapping of their own now, unless the kernel has none to give.
        let whole = before.1 / page * page > before.0.next_multiple_of(page);
        if huge_page().is_some() && whole {
            assert_ne!(before, after, "the code was not moved");
        }
    }
}
