/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the client. */
#pragma once

#include "base/map.h"
#include "http/client.h"
#include "http/curl_lib.h"

#include <pthread.h>

#define SLOTS_MAX 16

/* A transfer at rest, with the connections it keeps open. */
struct slot {
	CURLM *multi;
	CURL *easy;
	char *origin; /* of the last request */
};

struct http_client {
	const struct curl_lib *lib;
	char *ca_file; /* chosen at the start; NULL: libcurl's own choice */
	bool ca_alone; /* it replaces the system's, as the environment variables mean it */
	char *user_agent;
	int64_t connect_timeout, stall_timeout;
	pthread_mutex_t lock; /* of what follows */
	struct slot *idle[SLOTS_MAX];
	size_t idle_count;
	struct driver *driver; /* of what goes over TLS; made when first needed */
	struct map *bundles;   /* CA file -> struct buf: it with the usual ones */
};

/* One request to one URL, without redirects. url_for_message(url) begins every error. */
struct hop {
	const char *url;
	const char *method;
	bool with_body;
	bool same_origin; /* as the request's: what it authorizes itself with is sent */
	struct http_trust trust;
};
MUST_USE struct err *transfer_run(
	struct http_client *c, const struct http_request *rq, const struct hop *hop, struct http_response *r);

MUST_USE struct err *client_take_slot(struct http_client *c, const char *url, struct slot **out);
void client_give_slot(struct http_client *c, struct slot *s, bool keep);
/* A PEM bundle of ca_file and the certificates trusted anyway. Borrowed from c, which keeps it. */
MUST_USE struct err *client_ca_bundle(struct http_client *c, const char *ca_file, struct str *out);
