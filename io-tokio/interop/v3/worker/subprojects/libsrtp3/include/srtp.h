// What the worker uses of libsrtp 3, by means of libsrtp 2.
//
// In 3 a policy is an object behind a pointer that is made, set and destroyed by functions, and a packet is written from
// one buffer into another, of which the size is given. In 2 a policy is a struct with public fields, and a packet is
// changed where it stands.

#pragma once

#define srtp_policy_t srtp2_policy_t
#include <srtp2/srtp.h>
#undef srtp_policy_t

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

// Errors that 2 does not know; nothing of it has these numbers.
constexpr auto srtp_err_status_buffer_small = static_cast<srtp_err_status_t>(28);
constexpr auto srtp_err_status_cryptex_err  = static_cast<srtp_err_status_t>(29);

struct Srtp3Policy
{
	srtp2_policy_t policy{};
	// Of the master key, with the salt behind it.
	uint8_t key[SRTP_MAX_KEY_LEN]{};
};

using srtp_policy_t = Srtp3Policy*;

inline srtp_err_status_t srtp_policy_create(srtp_policy_t* created)
{
	*created = new (std::nothrow) Srtp3Policy;

	return *created ? srtp_err_status_ok : srtp_err_status_alloc_fail;
}

inline void srtp_policy_destroy(srtp_policy_t self)
{
	delete self;
}

inline srtp_err_status_t srtp_policy_set_ssrc(srtp_policy_t self, srtp_ssrc_t ssrc)
{
	self->policy.ssrc = ssrc;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_profile(srtp_policy_t self, srtp_profile_t profile)
{
	const auto status = srtp_crypto_policy_set_from_profile_for_rtp(&self->policy.rtp, profile);

	if (status != srtp_err_status_ok)
	{
		return status;
	}

	return srtp_crypto_policy_set_from_profile_for_rtcp(&self->policy.rtcp, profile);
}

inline srtp_err_status_t srtp_policy_add_key(
  srtp_policy_t self,
  const uint8_t* key,
  size_t keyLength,
  const uint8_t* salt,
  size_t saltLength,
  const uint8_t* /*mki*/,
  size_t /*mkiLength*/)
{
	if (keyLength + saltLength > sizeof(self->key))
	{
		return srtp_err_status_bad_param;
	}

	std::memcpy(self->key, key, keyLength);
	std::memcpy(self->key + keyLength, salt, saltLength);
	self->policy.key = self->key;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_allow_repeat_tx(srtp_policy_t self, bool allow)
{
	self->policy.allow_repeat_tx = allow ? 1 : 0;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_window_size(srtp_policy_t self, size_t packets)
{
	self->policy.window_size = packets;

	return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_create(srtp_t* session, srtp_policy_t policy)
{
	const srtp2_policy_t* only = &policy->policy;

	return srtp_create(session, only);
}

namespace srtp3
{
	// Moves a packet to where it is wanted and has it changed there.
	inline srtp_err_status_t convert(
	  srtp_err_status_t (*change)(srtp_t, void*, int*),
	  srtp_t session,
	  const uint8_t* from,
	  size_t length,
	  size_t growth,
	  uint8_t* to,
	  size_t* toLength)
	{
		if (length + growth > *toLength)
		{
			return srtp_err_status_buffer_small;
		}

		std::memmove(to, from, length);

		int changed       = static_cast<int>(length);
		const auto status = change(session, to, &changed);

		if (status == srtp_err_status_ok)
		{
			*toLength = static_cast<size_t>(changed);
		}

		return status;
	}

	// RTCP also gets an index of four bytes.
	constexpr size_t Growth = SRTP_MAX_TRAILER_LEN + 4;
}

inline srtp_err_status_t srtp_protect(
  srtp_t session, const uint8_t* from, size_t length, uint8_t* to, size_t* toLength, size_t /*mkiIndex*/)
{
	return srtp3::convert(&srtp_protect, session, from, length, srtp3::Growth, to, toLength);
}

inline srtp_err_status_t srtp_protect_rtcp(
  srtp_t session, const uint8_t* from, size_t length, uint8_t* to, size_t* toLength, size_t /*mkiIndex*/)
{
	return srtp3::convert(&srtp_protect_rtcp, session, from, length, srtp3::Growth, to, toLength);
}

inline srtp_err_status_t srtp_unprotect(
  srtp_t session, const uint8_t* from, size_t length, uint8_t* to, size_t* toLength)
{
	return srtp3::convert(&srtp_unprotect, session, from, length, 0, to, toLength);
}

inline srtp_err_status_t srtp_unprotect_rtcp(
  srtp_t session, const uint8_t* from, size_t length, uint8_t* to, size_t* toLength)
{
	return srtp3::convert(&srtp_unprotect_rtcp, session, from, length, 0, to, toLength);
}

inline srtp_err_status_t srtp_stream_remove(srtp_t session, uint32_t ssrc)
{
	return srtp_remove_stream(session, ssrc);
}
