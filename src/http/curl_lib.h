/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of libcurl that the client uses, by pointer. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define CURL_FUNCTIONS(X)           \
	X(curl_global_init)         \
	X(curl_version_info)        \
	X(curl_easy_init)           \
	X(curl_easy_reset)          \
	X(curl_easy_cleanup)        \
	X(curl_easy_setopt)         \
	X(curl_easy_getinfo)        \
	X(curl_easy_pause)          \
	X(curl_easy_strerror)       \
	X(curl_slist_append)        \
	X(curl_slist_free_all)      \
	X(curl_multi_init)          \
	X(curl_multi_cleanup)       \
	X(curl_multi_setopt)        \
	X(curl_multi_add_handle)    \
	X(curl_multi_remove_handle) \
	X(curl_multi_perform)       \
	X(curl_multi_poll)          \
	X(curl_multi_wakeup)        \
	X(curl_multi_info_read)     \
	X(curl_multi_strerror)

struct curl_lib {
#define X(f) __typeof__(f) *f;
	CURL_FUNCTIONS(X)
#undef X
};

/* Loaded and initialised. *out is valid for the life of the process. */
MUST_USE struct err *curl_lib_get(const struct curl_lib **out);
