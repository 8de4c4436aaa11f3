// The headers that most of the worker's files include, precompiled. Macros in them name a class for the log.

#define MS_CLASS "header"

#include "Logger.hpp"
#include "MediaSoupErrors.hpp"
#include "RTC/SCTP/association/Association.hpp"
#include "RTC/WebRtcTransport.hpp"
#include "Utils.hpp"
#include "Worker.hpp"

#undef MS_CLASS
