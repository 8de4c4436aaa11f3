/* The sending half of a mediasoup client. How to link and bind it: README.md of mediasoup-producer-ffi.
 * Made by cbindgen from the code. Licence: MIT or Apache-2.0, at your choice. */

#ifndef MEDIASOUP_PRODUCER_H
#define MEDIASOUP_PRODUCER_H

#include <stddef.h>
#include <stdint.h>

// `protocol` of a datagram: over UDP.
#define MSP_UDP 0

// `protocol` of a datagram: over a TCP connection that we open, with RFC 4571 framing, which is the caller's.
#define MSP_TCP 1

// A flag of a frame: it can be decoded on its own.
#define MSP_KEY_FRAME 1

// A flag of a frame: `temporal_layer` is said.
#define MSP_TEMPORAL_LAYER 2

// A flag of a frame with a temporal layer: it depends on the last frame of the base layer alone.
#define MSP_TEMPORAL_SYNC 4

// A flag of a frame or packet: `audio_level` is said.
#define MSP_AUDIO_LEVEL 8

// A flag of a frame or packet with an audio level: somebody speaks.
#define MSP_VOICE 16

// A flag of a frame or packet: `rotation` is said.
#define MSP_ROTATION 32

// `kind` of an output: a datagram is to be sent.
#define MSP_TRANSMIT 1

// `kind` of an output: the server is to be asked something, and its answer handed in.
#define MSP_REQUEST 2

// `kind` of an output: the server is to be told something. Only with mediasoup 2.
#define MSP_NOTIFICATION 3

// `kind` of an output: something the application should know.
#define MSP_EVENT 4

// How a call went. What is not MSP_STATUS_OK or MSP_STATUS_NOTHING has a text: `msp_last_error`.
enum msp_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // It is done.
  MSP_STATUS_OK = 0,
  // There is nothing.
  MSP_STATUS_NOTHING = 1,
  // The library refuses, for a reason: a command in this state, media that nobody takes. Nothing has changed.
  MSP_STATUS_REFUSED = 2,
  // An argument is not what it should be: null, misaligned, not UTF-8, not the JSON it should be, an unknown flag. Nothing
  // has changed.
  MSP_STATUS_INVALID = 3,
  // There is no such session: it was freed, or never was.
  MSP_STATUS_NO_SESSION = 4,
  // Another call for this session is under way, in another thread. Nothing has changed.
  MSP_STATUS_BUSY = 5,
  // The library has made a mistake. All that can be done with this session is to free it.
  MSP_STATUS_BROKEN = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum msp_status msp_status;
#else
typedef int32_t msp_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an accepted command gave rise to; 0 is none.
typedef struct msp_accepted {
  // It takes time: the event `Settled` will tell the end of this operation.
  uint64_t operation;
  // How many operations: those of a room that restarts ICE count on from the first.
  uint32_t operations;
  // The transport that was made.
  uint32_t transport;
  // The producer that was made, or is being made.
  uint32_t producer;
} msp_accepted;

// An IP address and a port.
typedef struct msp_address {
  // In network order: 16 bytes of an IPv6 address, or the 4 of an IPv4 address first.
  uint8_t ip[16];
  // The interface of a link-local IPv6 address (`sin6_scope_id`); else 0.
  uint32_t scope_id;
  // In the machine's own order.
  uint16_t port;
  // 4 or 6.
  uint8_t version;
} msp_address;

// A datagram that came in, or that is to be sent.
typedef struct msp_datagram {
  // The bytes.
  const uint8_t *data;
  // How many.
  size_t length;
  // Who sent it: the server, or which of our addresses it is to be sent from.
  struct msp_address source;
  // Where it was sent: which of our addresses, as it was named with `AddLocalAddress`; or where it is to be sent.
  struct msp_address destination;
  // MSP_UDP or MSP_TCP.
  uint8_t protocol;
} msp_datagram;

// An encoded frame.
typedef struct msp_frame {
  // The encoded bytes: a frame of VP8 or VP9 as the encoder gives it, an access unit of H.264 in Annex B format, a packet of
  // audio.
  const uint8_t *data;
  // How many.
  size_t length;
  // When it was captured, in nanoseconds on the producer's own clock, whose origin is arbitrary. It must not go back.
  uint64_t time;
  // Which encoding it is of, the smallest simulcast layer first; 0 without simulcast.
  uint32_t layer;
  // MSP_KEY_FRAME, MSP_TEMPORAL_LAYER, MSP_TEMPORAL_SYNC, MSP_AUDIO_LEVEL, MSP_VOICE, MSP_ROTATION, or 0.
  uint32_t flags;
  // Clockwise degrees by which the picture must be turned to be upright: 0, 90, 180, 270.
  uint16_t rotation;
  // 0 for the base layer.
  uint8_t temporal_layer;
  // Decibels below overload, 0 the loudest, 127 silence (RFC 6464).
  uint8_t audio_level;
} msp_frame;

// An RTP packet that was made elsewhere.
typedef struct msp_packet {
  // The packet, from its header on.
  const uint8_t *data;
  // How many bytes.
  size_t length;
  // Which encoding it is of, the smallest simulcast layer first; 0 without simulcast.
  uint32_t layer;
  // MSP_AUDIO_LEVEL, MSP_VOICE, MSP_ROTATION, or 0.
  uint32_t flags;
  // As in a frame.
  uint16_t rotation;
  // As in a frame.
  uint8_t audio_level;
} msp_packet;

// Something to be acted on.
typedef struct msp_output {
  // MSP_TRANSMIT, MSP_REQUEST, MSP_NOTIFICATION or MSP_EVENT; 0 if there is nothing.
  uint32_t kind;
  // MSP_TRANSMIT: the datagram.
  struct msp_datagram datagram;
  // MSP_REQUEST: its number, under which the answer is to be handed in.
  uint64_t request;
  // MSP_REQUEST, MSP_NOTIFICATION: mediasoup's name of it, as `produce`, which ends with a zero. Else null.
  const char *name;
  // MSP_REQUEST, MSP_NOTIFICATION: JSON for the server, with mediasoup 3 the data of mediasoup-client's event and
  // `transportId`. MSP_EVENT: JSON of `v3::Event` or `v2::Event`. It ends with a zero. Else null.
  const char *json;
  // Its bytes, without the zero.
  size_t json_length;
} msp_output;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of this library, as `0.1.0`.
const char *msp_version(void);

// Why the last call on this thread that did not return MSP_STATUS_OK or MSP_STATUS_NOTHING did not: a text for people, to
// be read before the next call on this thread. Never null.
const char *msp_last_error(void);

// Makes a session, and puts its number, which is never 0, into `session`. `options` is JSON; `{}` has the defaults:
// `{"dialect":"v3","config":{},"dtls_backend":"Modern","seed":1}`. `dialect`: "v3" for a device of mediasoup 3, "v2" for a room
// of mediasoup 2. `config`: some of the fields of DeviceConfig or RoomConfig. `dtls_backend`: "Legacy" for servers with an
// RSA certificate, if the library was built with it. `seed`: only for tests; else a random one is taken.
//
// # Safety
// `options` points to `length` bytes, `session` to where a number can be put.
msp_status msp_session_new(const char *options,
                           size_t length,
                           uint64_t *session);

// Ends a session and frees what it holds. Nothing is said to anybody: close its transports, or leave the room, and poll
// its outputs before. The number is not given again.
msp_status msp_session_free(uint64_t session);

// Has a command done: JSON of `v3::Command` or `v2::Command`. What it gave rise to is put into `accepted`, which may be null.
//
// # Safety
// `command` points to `length` bytes, `accepted` is null or points to where it can be put.
msp_status msp_command(uint64_t session,
                       uint64_t now,
                       const char *command,
                       size_t length,
                       struct msp_accepted *accepted);

// The server has answered a request. `data` is JSON: with mediasoup 3 what mediasoup-client's `callback` takes,
// `{"id":"..."}` for `produce` and `{}` for `connect`; with mediasoup 2 the payload of the answer, `null` if it has none.
//
// # Safety
// `data` points to `length` bytes.
msp_status msp_response(uint64_t session,
                        uint64_t now,
                        uint64_t request,
                        const char *data,
                        size_t length);

// The server has refused a request, in these words: text, not JSON.
//
// # Safety
// `reason` points to `length` bytes.
msp_status msp_refusal(uint64_t session,
                       uint64_t now,
                       uint64_t request,
                       const char *reason,
                       size_t length);

// The server has sent a notification: JSON. Only mediasoup 2 does; for a session of mediasoup 3 it is refused.
//
// # Safety
// `notification` points to `length` bytes.
msp_status msp_notification(uint64_t session,
                            uint64_t now,
                            const char *notification,
                            size_t length);

// A datagram came in. What is of no use is dropped; that is not an error.
//
// # Safety
// `datagram` points to one, and its `data` to `length` bytes.
msp_status msp_receive(uint64_t session, uint64_t now, const struct msp_datagram *datagram);

// Sends an encoded frame of a producer. It is copied. What is refused is not sent later: a key frame is asked for after it
// (the event `KeyFrameRequest`).
//
// # Safety
// `frame` points to one, and its `data` to `length` bytes.
msp_status msp_write_frame(uint64_t session,
                           uint64_t now,
                           uint32_t producer,
                           const struct msp_frame *frame);

// Sends an RTP packet that was made elsewhere, as it came in a datagram. Its SSRC, payload type, numbers and header extensions
// become the producer's. It is copied.
//
// # Safety
// `packet` points to one, and its `data` to `length` bytes.
msp_status msp_write_packet(uint64_t session,
                            uint64_t now,
                            uint32_t producer,
                            const struct msp_packet *packet);

// Takes the next thing to act on into `output`. MSP_STATUS_NOTHING: there is none until something comes in. What it points
// to is there until the next call for this session.
//
// If a socket takes no more, keep the datagram and do not poll further before it does: what waits in the session is
// bounded, and media is refused when it is too much.
//
// # Safety
// `output` points to where one can be put.
msp_status msp_poll_output(uint64_t session,
                           struct msp_output *output);

// When `msp_handle_timeout` is next needed. MSP_STATUS_NOTHING: not before something else happens.
//
// # Safety
// `at` points to where a time can be put.
msp_status msp_poll_timeout(uint64_t session, uint64_t *at);

// Lets time go on.
msp_status msp_handle_timeout(uint64_t session, uint64_t now);

// What was sent of a producer: JSON, a list with an entry for each encoding (`stats::OutboundRtpStats`). It is there until
// the next call for this session, and ends with a zero that `length` does not count.
//
// # Safety
// `json` and `length` point to where they can be put.
msp_status msp_outbound_stats(uint64_t session,
                              uint32_t producer,
                              const char **json,
                              size_t *length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MEDIASOUP_PRODUCER_H */
