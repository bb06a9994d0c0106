//! Who waits when the processor is short.

/// How much nicer than the rest of the process a model's threads are: on the
/// scale of nice(2), a tenth of the share of one that is not.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Makes the calling thread, and those it starts from now on, give way to those
/// that serve calls. Where the system does not let it, everything works as
/// before, only less evenly.
pub(crate) fn give_way() {
    // On Linux, a thread has its own; set, not added to what it inherited.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "a thread of a model keeps its priority");
    }
}
