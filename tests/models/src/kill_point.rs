//! A step's end: where the victim may die.

macro_rules! kill_point {
    ($name:literal) => {
        $crate::family::pass($name)
    };
    ($name:literal if $stored:expr) => {
        if $stored {
            kill_point!($name);
        }
    };
}
