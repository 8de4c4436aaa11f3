/* An event loop in C: poll(2), a UDP socket, signalling in lines of JSON over TCP.
 *
 *     loop CLIP.ivf 127.0.0.1:PORT [SECONDS]
 *
 * Publishes a clip of VP8 to the example `room`, and fails unless the room got every packet. `run.sh` builds and runs both.
 * The few words of JSON that it reads it looks for; a program has a JSON library. It is for IPv4. */

#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mediasoup_producer.h"

#define SECOND UINT64_C(1000000000)
#define NEVER UINT64_MAX

struct frame {
  const uint8_t *data;
  uint32_t length;
  uint64_t time; /* ns */
};

static struct {
  uint64_t session;
  uint32_t transport, producer;
  char producer_id[64]; /* what the room calls it */
  int wanted;           /* somebody wants frames */
  int udp, tcp;
  struct sockaddr_in local;
  char line[1 << 16]; /* what came over TCP and is no whole line yet */
  size_t came;
  /* A datagram that the socket had no room for: nothing more is polled before it has left. */
  struct {
    uint8_t data[2048];
    size_t length;
    struct sockaddr_in to;
  } unsent;
} app;

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : msp_last_error());
  exit(1);
}

static void must(msp_status status, const char *what) {
  errno = 0;
  if (status != MSP_STATUS_OK) fail(what);
}

/* Nanoseconds since the first call. */
static uint64_t now(void) {
  static uint64_t start;
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  uint64_t at = (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
  if (start == 0) start = at;
  return at - start;
}

/* A text made as by printf; to be freed. */
static char *text(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *made = malloc((size_t)length + 1);
  if (made == NULL) fail("memory");
  va_start(arguments, format);
  vsnprintf(made, (size_t)length + 1, format, arguments);
  va_end(arguments);
  return made;
}

/* The number after `key`, 0 if there is none. */
static uint64_t number_after(const char *json, const char *key) {
  const char *at = strstr(json, key);
  return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

/* The text after `key` up to the next quotation mark: ids have no escapes. */
static int text_after(const char *json, const char *key, char *into, size_t size) {
  const char *at = strstr(json, key);
  if (at == NULL) return 0;
  at += strlen(key);
  size_t length = strcspn(at, "\"");
  if (length >= size) return 0;
  memcpy(into, at, length);
  into[length] = 0;
  return 1;
}

static msp_accepted command(char *json) {
  msp_accepted accepted;
  must(msp_command(app.session, now(), json, strlen(json), &accepted), json);
  free(json);
  return accepted;
}

/* Signalling: {"ask":1,"what":"produce","with":{..}} and {"answer":1,"ok":{..}} or {"answer":1,"error":".."}. */

static void ask(uint64_t number, const char *what, const char *with) {
  char *line = text("{\"ask\":%" PRIu64 ",\"what\":\"%s\",\"with\":%s}\n", number, what, with);
  for (size_t sent = 0, length = strlen(line); sent < length;) {
    ssize_t more = send(app.tcp, line + sent, length - sent, MSG_NOSIGNAL);
    if (more < 0 && errno != EINTR && errno != EAGAIN) fail("the room");
    if (more > 0) sent += (size_t)more;
  }
  free(line);
}

/* Waits for a line, or, if not to `wait`, takes one that is there; to be freed. */
static char *hear(int wait) {
  for (;;) {
    char *end = memchr(app.line, '\n', app.came);
    if (end != NULL) {
      *end = 0;
      char *line = text("%s", app.line);
      app.came -= (size_t)(end + 1 - app.line);
      memmove(app.line, end + 1, app.came);
      return line;
    }
    if (app.came == sizeof app.line) fail("a line without an end");
    ssize_t more = recv(app.tcp, app.line + app.came, sizeof app.line - app.came, wait ? 0 : MSG_DONTWAIT);
    if (more < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return NULL;
    if (more == 0) fail("the room has closed its door");
    if (more < 0 && errno != EINTR) fail("the room");
    if (more > 0) app.came += (size_t)more;
  }
}

/* What stands after "ok" in an answer: all but the last brace. To be freed. NULL: it was refused. */
static char *granted(const char *answer) {
  const char *ok = strstr(answer, "\"ok\":");
  return ok == NULL ? NULL : text("%.*s", (int)(strlen(ok) - 6), ok + 5);
}

/* Asks and waits. To be freed. */
static char *request(const char *what, const char *with) {
  ask(0, what, with);
  char *answer = hear(1), *data = granted(answer);
  errno = 0;
  if (data == NULL) {
    fprintf(stderr, "%s\n", answer);
    fail(what);
  }
  free(answer);
  return data;
}

/* An answer to what the library has asked. */
static void answered(const char *answer) {
  uint64_t number = number_after(answer, "\"answer\":");
  char *data = granted(answer), id[64];
  if (data == NULL) {
    must(msp_refusal(app.session, now(), number, answer, strlen(answer)), "a refusal");
    return;
  }
  /* To `produce` it has the producer's id, to `connect` nothing. */
  char *callback = text_after(data, "\"producer\":\"", id, sizeof id) ? text("{\"id\":\"%s\"}", id) : text("{}");
  must(msp_response(app.session, now(), number, callback, strlen(callback)), "an answer");
  free(callback);
  free(data);
}

/* Media plane. */

static struct sockaddr_in to_system(const msp_address *address) {
  struct sockaddr_in system = {.sin_family = AF_INET, .sin_port = htons(address->port)};
  memcpy(&system.sin_addr, address->ip, 4);
  return system;
}

static msp_address from_system(const struct sockaddr_in *system) {
  msp_address address = {.version = 4, .port = ntohs(system->sin_port)};
  memcpy(address.ip, &system->sin_addr, 4);
  return address;
}

/* False if the socket takes no more. What the network refuses otherwise is lost, as on the way. */
static int transmit(const uint8_t *data, size_t length, const struct sockaddr_in *to) {
  ssize_t sent = sendto(app.udp, data, length, 0, (const struct sockaddr *)to, sizeof *to);
  return sent >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void receive(void) {
  uint8_t data[2048];
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(app.udp, data, sizeof data, 0, (struct sockaddr *)&from, &size);
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    /* Somebody has closed their port: the library finds out by itself. */
    if (length < 0) continue;
    msp_datagram datagram = {.data = data,
                             .length = (size_t)length,
                             .source = from_system(&from),
                             .destination = from_system(&app.local),
                             .protocol = MSP_UDP};
    must(msp_receive(app.session, now(), &datagram), "a datagram");
  }
}

/* Acts on all that comes out. */
static void act(void) {
  if (app.unsent.length > 0) {
    if (!transmit(app.unsent.data, app.unsent.length, &app.unsent.to)) return;
    app.unsent.length = 0;
  }
  msp_output output;
  msp_status status;
  while ((status = msp_poll_output(app.session, &output)) == MSP_STATUS_OK) {
    switch (output.kind) {
      case MSP_TRANSMIT: {
        struct sockaddr_in to = to_system(&output.datagram.destination);
        if (transmit(output.datagram.data, output.datagram.length, &to)) break;
        /* It is there until the next call only. */
        if (output.datagram.length > sizeof app.unsent.data) break;
        memcpy(app.unsent.data, output.datagram.data, output.datagram.length);
        app.unsent.length = output.datagram.length;
        app.unsent.to = to;
        return;
      }
      case MSP_REQUEST:
        ask(output.request, output.name, output.json);
        break;
      case MSP_EVENT:
        text_after(output.json, "\"producer_id\":\"", app.producer_id, sizeof app.producer_id);
        if (strstr(output.json, "\"KeyFrameRequest\"") != NULL) {
          /* An encoder is told to make one now. A clip has one at its beginning, and then the next in its time. */
          app.wanted = 1;
        } else {
          printf("%s\n", output.json);
        }
        break;
      case MSP_NOTIFICATION: /* mediasoup 2 alone has them */
      default:
        break;
    }
  }
  errno = 0;
  if (status != MSP_STATUS_NOTHING) fail("what comes out");
}

/* IVF: a header of 32 bytes, then frames of a size and a time stamp of 8 bytes each, little-endian. */

static uint64_t little(const uint8_t *bytes, int count) {
  uint64_t value = 0;
  while (count-- > 0) value = value << 8 | bytes[count];
  return value;
}

/* The frames point into `bytes`. Both are to be freed. */
static struct frame *read_clip(const char *name, size_t *count, uint8_t **bytes_of) {
  FILE *file = fopen(name, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail(name);
  size_t size = (size_t)ftell(file);
  rewind(file);
  uint8_t *bytes = *bytes_of = malloc(size);
  if (bytes == NULL || fread(bytes, 1, size, file) != size || size < 32 || memcmp(bytes, "DKIF", 4) != 0) fail(name);
  fclose(file);
  uint64_t rate = little(bytes + 16, 4), scale = little(bytes + 20, 4);
  if (rate == 0) fail(name);
  struct frame *frames = NULL;
  *count = 0;
  for (size_t at = little(bytes + 6, 2); at + 12 <= size;) {
    uint64_t length = little(bytes + at, 4), stamp = little(bytes + at + 4, 8);
    at += 12;
    if (length == 0 || length > size - at) break;
    struct frame *more = realloc(frames, (*count + 1) * sizeof *frames);
    if (more == NULL) fail("memory");
    frames = more;
    frames[(*count)++] = (struct frame){bytes + at, (uint32_t)length, stamp * SECOND * scale / rate};
    at += length;
  }
  if (*count < 2) fail(name);
  return frames;
}

static void write_frame(const struct frame *clip, uint64_t time) {
  msp_frame frame = {.data = clip->data, .length = clip->length, .time = time};
  /* RFC 6386 section 9.1: the lowest bit of a frame is 0 if it is a key frame. */
  frame.flags = (clip->data[0] & 1) == 0 ? MSP_KEY_FRAME : 0;
  msp_status status = msp_write_frame(app.session, now(), app.producer, &frame);
  /* What is refused is not sent later: the next key frame is taken again. */
  if (status == MSP_STATUS_REFUSED) {
    printf("a frame was refused: %s\n", msp_last_error());
  } else {
    must(status, "a frame");
  }
}

static void begin(const char *address) {
  char ip[16] = "";
  const char *colon = strchr(address, ':');
  struct sockaddr_in room = {.sin_family = AF_INET};
  errno = EINVAL;
  if (colon == NULL || colon - address >= (int)sizeof ip) fail(address);
  memcpy(ip, address, (size_t)(colon - address));
  room.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
  if (inet_pton(AF_INET, ip, &room.sin_addr) != 1) fail(address);
  app.tcp = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(app.tcp, (struct sockaddr *)&room, sizeof room) != 0) fail(address);

  /* The socket of media has the address that leads to the room, and any port. */
  socklen_t size = sizeof app.local;
  if (getsockname(app.tcp, (struct sockaddr *)&app.local, &size) != 0) fail("the connection");
  app.local.sin_port = 0;
  app.udp = socket(AF_INET, SOCK_DGRAM, 0);
  if (bind(app.udp, (struct sockaddr *)&app.local, sizeof app.local) != 0) fail("a socket");
  if (getsockname(app.udp, (struct sockaddr *)&app.local, &size) != 0) fail("a socket");
  if (fcntl(app.udp, F_SETFL, O_NONBLOCK) != 0) fail("a socket");

  const char options[] = "{\"dialect\":\"v3\"}";
  must(msp_session_new(options, sizeof options - 1, &app.session), "a session");
  char *data = request("capabilities", "{}");
  command(text("{\"Load\":{\"router_rtp_capabilities\":%s}}", data));
  free(data);
  data = request("createTransport", "{}");
  app.transport = command(text("{\"CreateSendTransport\":{\"parameters\":%s}}", data)).transport;
  free(data);
  inet_ntop(AF_INET, &app.local.sin_addr, ip, sizeof ip);
  command(text("{\"AddLocalAddress\":{\"id\":%" PRIu32 ",\"protocol\":\"udp\",\"address\":\"%s:%d\"}}", app.transport, ip,
               ntohs(app.local.sin_port)));
  app.producer = command(text("{\"Produce\":{\"transport\":%" PRIu32 ",\"track\":{\"id\":\"clip\",\"kind\":\"video\"},"
                              "\"options\":{\"codec\":{\"Name\":\"VP8\"}}}}",
                              app.transport))
                     .producer;
}

int main(int count, char **arguments) {
  if (count < 3) {
    fprintf(stderr, "usage: loop CLIP.ivf 127.0.0.1:PORT [SECONDS]\n");
    return 2;
  }
  size_t frames;
  uint8_t *bytes;
  struct frame *clip = read_clip(arguments[1], &frames, &bytes);
  /* It is played in a loop: a frame lasts as long as the first. */
  uint64_t interval = clip[1].time - clip[0].time;
  uint64_t end = (count > 3 ? strtoull(arguments[3], NULL, 10) : 3) * SECOND;
  printf("mediasoup-producer %s\n", msp_version());
  begin(arguments[2]);

  uint64_t next_frame = NEVER, number = 0;
  act();
  /* What is under way at the end is waited for. */
  while (now() < end + SECOND / 2) {
    uint64_t deadline = next_frame, due, wait;
    msp_status status = msp_poll_timeout(app.session, &due);
    if (status == MSP_STATUS_OK && due < deadline) deadline = due;
    if (end + SECOND / 2 < deadline) deadline = end + SECOND / 2;
    wait = deadline > now() ? deadline - now() : 0;
    struct pollfd sockets[] = {
        {.fd = app.udp, .events = (short)(POLLIN | (app.unsent.length > 0 ? POLLOUT : 0))},
        {.fd = app.tcp, .events = POLLIN},
    };
    if (poll(sockets, 2, (int)((wait + 999999) / 1000000)) < 0 && errno != EINTR) fail("poll");

    receive();
    for (char *answer; (answer = hear(0)) != NULL; free(answer)) answered(answer);
    must(msp_handle_timeout(app.session, now()), "the time");
    if (next_frame <= now()) {
      write_frame(&clip[number % frames], number * interval);
      number++;
      next_frame = now() < end ? next_frame + interval : NEVER;
    }
    act();
    if (app.wanted && number == 0 && next_frame == NEVER) next_frame = now();
  }

  const char *stats;
  size_t length;
  must(msp_outbound_stats(app.session, app.producer, &stats, &length), "statistics");
  uint64_t sent = number_after(stats, "\"packets_sent\":");
  char *with = text("{\"producer\":\"%s\"}", app.producer_id);
  char *arrived = request("received", with);
  uint64_t received = number_after(arrived, "\"packets\":");
  printf("%" PRIu64 " frames, %" PRIu64 " packets sent, %" PRIu64 " received\n", number, sent, received);
  free(with);
  free(arrived);

  command(text("{\"CloseTransport\":{\"id\":%" PRIu32 "}}", app.transport));
  act(); /* the goodbye */
  must(msp_session_free(app.session), "the end");
  close(app.udp);
  close(app.tcp);
  free(bytes);
  free(clip);
  return sent > 0 && received == sent ? 0 : 1;
}
