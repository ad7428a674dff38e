/* SPDX-License-Identifier: Apache-2.0 */
/* A transfer under way: what its callbacks and those who drive it share. */
#pragma once

#include "http/client_internal.h"

#define POLL_MS 1000

struct transfer {
	struct http_client *client;
	const struct http_request *rq;
	const struct hop *hop;
	struct http_response *r;
	CURL *easy;
	struct slot *slot; /* the request's own thread drives it; else: */
	struct flow *flow; /* the client's driver does */
	struct curl_slist *headers;
	size_t header_bytes;
	size_t sent; /* of a fixed body */
	int64_t last_active;
	bool body_begun;     /* of the answer */
	bool body_full;      /* of an answer that is not wanted whole */
	bool out_of_step;    /* where an answer should begin stands something else */
	struct err *failure; /* of a callback */
	char reason[CURL_ERROR_SIZE];
};

struct err *transfer_stalled(const struct transfer *t);
