/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of libmicrohttpd that the server uses, by pointer. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <microhttpd.h>

#define MHD_FUNCTIONS(X)                           \
	X(MHD_start_daemon)                        \
	X(MHD_stop_daemon)                         \
	X(MHD_quiesce_daemon)                      \
	X(MHD_is_feature_supported)                \
	X(MHD_get_daemon_info)                     \
	X(MHD_get_connection_info)                 \
	X(MHD_get_connection_values_n)             \
	X(MHD_lookup_connection_value)             \
	X(MHD_queue_response)                      \
	X(MHD_set_connection_option)               \
	X(MHD_create_response_from_buffer)         \
	X(MHD_create_response_from_callback)       \
	X(MHD_create_response_from_fd_at_offset64) \
	X(MHD_add_response_header)                 \
	X(MHD_destroy_response)

struct mhd_lib {
#define X(f) __typeof__(f) *f;
	MHD_FUNCTIONS(X)
#undef X
};

/* *out is valid for the life of the process. */
MUST_USE struct err *mhd_lib_get(const struct mhd_lib **out);
