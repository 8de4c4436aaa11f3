//! Why something that takes time came to nothing.

use mediasoup_producer::v2::{Failure, JoinFailure, RestartIceFailure, SendFailure};

use crate::error::Error;

macro_rules! of_operation {
    ($($of:ident: $failure:ty,)*) => {$(
        impl<C> From<Error<C, Failure>> for Error<C, $failure> {
            fn from(ended: Error<C, Failure>) -> Self {
                match ended {
                    Error::Command(error) => Self::Command(error),
                    Error::Failed(Failure::$of(failure)) => Self::Failed(failure),
                    // A room settles an operation as what it is.
                    Error::Failed(_) | Error::Stopped => Self::Stopped,
                }
            }
        }
    )*};
}

of_operation! {
    Join: JoinFailure,
    Send: SendFailure,
    RestartIce: RestartIceFailure,
}
