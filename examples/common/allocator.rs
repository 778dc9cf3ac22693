//! Training frees and asks for the same large buffers at every step.

/// Tells glibc to keep them: given back to the system, every page is faulted in anew, which takes about half the
/// time of a step. Other allocators keep them anyway.
pub fn keep_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes two integers and is called before any other thread exists.
    unsafe {
        // Where a glibc refuses the first, the second alone would make things worse.
        if libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30) == 1 {
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}
