//! Training MNISTNet on the CPU with the kernels of [`crate::model::kernels`], and those that only training needs.
//!
//! ```text
//! pixels ─► forward ─► features ─► fc1 ─► head ─► loss
//!           backward ◄─ gradients ◄─ fc1 ◄─┘
//!              └► update ◄─────────────────┘
//! ```
//!
//! fc1's gradients and their update are one (`fc1`), conv2's go through the adjoints of its Winograd transforms
//! (`backward`), and [`WinogradLearner`] puts the step together.
#![allow(clippy::needless_range_loop)] // Indices, not iterators, are what LLVM vectorizes: see `dispatch`.

mod adadelta;
mod backward;
mod fc1;
mod forward;
mod group;
mod head;
mod learner;
mod step;
mod update;

pub use learner::WinogradLearner;
