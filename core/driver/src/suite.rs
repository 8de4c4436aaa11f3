//! The tests that a [`Runtime`] is to pass: sockets, timers, signalling, and every end that a room can come to. Feature
//! `suite`.
//!
//! In a test file of the runtime's crate, beside a function that runs a test on it:
//!
//! ```ignore
//! fn run<F: Future<Output = ()>>(test: impl FnOnce(MyRuntime) -> F) {
//!     my_runtime::block_on(test(MyRuntime::default()))
//! }
//!
//! mediasoup_producer_driver::suite!(run);
//! ```
//!
//! A room of `mediasoup_producer::sim` on real sockets of 127.0.0.1 stands at the other end, on threads of its own; nothing of
//! it is the runtime's.

#![allow(missing_docs)] // each test is what its name says
#![allow(clippy::disallowed_methods)] // the room at the other end has a clock of its own

mod bench;
mod channel;
mod room;
mod router;
mod server;

pub mod abort;
pub mod congestion;
pub mod lifecycle;
pub mod parity;
pub mod publishing;
pub mod v3;
pub mod v3_parity;
pub mod websocket;

use std::future::Future;
use std::time::Duration;

use futures_channel::oneshot;

use crate::runtime::{Runtime, until};
pub use bench::{Bench, BenchUdpSocket, Fate, Valve};

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(100);

/// Runs a test, but not for ever.
pub async fn bounded<R: Runtime>(runtime: R, test: impl Future<Output = ()>) {
    let end = runtime.now() + PATIENCE;
    assert!(until(&runtime, end, test).await.is_some(), "it hangs");
}

/// Runs a future beside the caller.
pub(crate) fn spawn<R: Runtime, T: Send + 'static>(
    runtime: &R,
    future: impl Future<Output = T> + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    runtime.spawn(async {
        let _ = sender.send(future.await);
    });
    receiver
}

/// Lets others have their turn.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Waits for so long.
pub(crate) async fn sleep<R: Runtime>(runtime: &R, time: Duration) {
    crate::runtime::sleep_until(runtime, runtime.now() + time).await;
}

/// Makes a `#[test]` of each test of the suite; `$run` runs one on the runtime.
#[macro_export]
macro_rules! suite {
    ($run:ident) => {
        $crate::suite! { $run
            lifecycle {
                joining_resolves_when_the_server_has_answered,
                a_refusal_comes_with_the_servers_words_and_another_try_is_possible,
                a_silent_server_is_a_timeout,
                a_refused_command_says_so_at_once,
                restarting_ice_everywhere_ends_when_every_transport_has_answered,
                closing_leaves_the_room_and_ends_the_connection,
                after_the_end_every_call_says_so,
                dropping_the_handles_in_any_order_leaves_the_room,
                one_handle_keeps_the_room,
                closing_ends_what_is_under_way,
                giving_up_waiting_does_not_give_up_the_operation,
                a_lost_connection_closes_the_room_as_the_server_would,
                a_lost_connection_ends_what_is_under_way,
                a_room_closed_by_the_server_can_be_joined_again,
                a_server_that_takes_nothing_does_not_keep_the_room_from_ending,
                a_server_that_reads_nothing_is_given_up,
                events_lost_by_a_slow_reader_are_counted,
                what_cannot_be_read_is_counted,
                fifty_rooms_live_in_one_process,
            }
            publishing {
                all_that_is_sent_arrives,
                what_is_recorded_repeats,
                the_last_words_are_said_before_the_sockets_close,
                nothing_is_sent_while_paused_and_a_key_frame_is_wanted_after,
                media_is_refused_until_the_transport_is_connected,
                tcp_alone_will_do,
                tcp_takes_over_where_udp_does_not_get_through,
                tcp_takes_over_when_udp_breaks_off,
                an_address_that_cannot_be_reached_harms_nothing,
                what_the_options_exclude_is_not_used,
                a_bind_address_is_used,
                a_network_change_moves_the_media_to_new_sockets,
                a_transport_closed_by_the_server_ends_and_its_producer_moves,
                ice_is_restarted_without_a_break,
                the_servers_statistics_come,
                many_rooms_publish_at_the_same_time,
            }
            congestion {
                a_blocked_socket_holds_up_nothing_but_its_own_path,
                a_blocked_socket_refuses_media_and_memory_stays_flat,
                audio_goes_before_video_when_the_socket_takes_again,
                a_tcp_peer_that_stops_reading_is_a_blocked_socket,
                what_the_system_refuses_to_send_ends_no_session,
                a_datagram_too_large_for_the_network_is_told,
                a_card_that_cannot_cut_is_sent_one_by_one,
                the_datagrams_of_a_frame_leave_together,
            }
            parity { the_same_script_gives_the_same_outputs_as_by_hand }
            abort {
                a_future_dropped_at_any_poll_harms_nothing,
                handles_dropped_at_any_point_leave_nothing_behind,
            }
            websocket {
                a_room_is_joined_over_websocket,
                the_goodbye_arrives_before_the_connection_ends,
                the_servers_own_questions_are_answered_and_handed_on,
                plain_protoo_is_carried_under_the_urls_own_origin,
                nobody_there_is_said,
                a_url_that_is_none_is_said,
                a_refused_upgrade_is_said,
                another_protocol_than_protoo_is_said,
                a_server_that_does_not_take_up_the_connection_is_given_up,
                a_server_that_falls_silent_is_given_up,
                a_quiet_server_that_answers_pings_is_kept,
                a_server_may_be_silent_for_ever_if_the_application_likes,
                a_server_that_closes_or_hangs_up_is_said,
                a_message_without_end_breaks_the_connection,
                a_self_signed_certificate_is_refused_unless_any_is_accepted,
                tls_with_a_server_that_has_none_is_said,
                what_is_secret_in_the_servers_words_is_in_no_debug_output,
            }
            v3_parity { the_same_script_gives_the_same_outputs_as_by_hand }
            v3 {
                all_that_is_sent_arrives,
                what_is_recorded_repeats,
                tcp_alone_will_do,
                tcp_takes_over_where_udp_does_not_get_through,
                a_network_change_moves_the_media_to_new_sockets,
                ice_is_restarted_without_a_break,
                host_names_are_looked_up,
                a_refusal_comes_with_its_words_and_another_try_is_possible,
                an_answer_that_never_comes_is_a_timeout,
                requests_that_nobody_answers_wait_within_bounds,
                a_blocked_socket_refuses_media_and_audio_goes_first,
                the_last_words_are_said_before_the_sockets_close,
                after_the_end_every_call_says_so,
                a_lost_channel_ends_it_and_what_is_under_way,
                a_future_dropped_at_any_poll_harms_nothing,
                handles_dropped_at_any_point_leave_nothing_behind,
            }
        }
    };
    ($run:ident $($module:ident { $($test:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                super::$run(|runtime| {
                    let test = $crate::suite::$module::$test(runtime.clone());
                    $crate::suite::bounded(runtime, test)
                });
            })*
        })*
    };
}
