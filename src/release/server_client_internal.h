/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the server's client. */
#pragma once

#include "base/json.h"
#include "http/client.h"
#include "release/server_client.h"

struct server_client {
	char *base; /* the URL without a slash at the end */
	char *host, *token;
	const char *ca_file, *client_cert, *client_key; /* of the settings */
	bool insecure;
	const struct cancel *cancel;
	struct http_client *quick, *patient;
};

struct server_call {
	const char *method, *path; /* below /api/v1 */
	const char *lease;         /* NULL: none */
	struct str body;
	bool plain;                  /* the body is text, not JSON */
	bool patient;                /* the server may let it wait */
	int also;                    /* a status that is no error, besides 2xx */
	const struct cancel *cancel; /* NULL: the client's */
	struct err *(*write_body)(void *ctx, const void *p, size_t len);
	void *write_ctx;
};
/* One request; any status is success. */
MUST_USE struct err *server_send(
	struct server_client *c, const struct server_call *call, struct http_response *r);
MUST_USE struct err *server_answer_error(const struct server_client *c, const struct http_response *r);
/* One request that must do well. *out (caller's; may be NULL) is its JSON; NULL with status 204. */
MUST_USE struct err *server_ask(
	struct server_client *c, const struct server_call *call, int *status, json_t **out);
