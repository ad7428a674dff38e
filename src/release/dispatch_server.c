/* SPDX-License-Identifier: Apache-2.0 */
#include "release/dispatch.h"
#include "release/run_source.h"
#include "release/server_client.h"

struct err *dispatch_server(struct engine *e, const struct dispatch_request *rq, int64_t *number, char **url)
{
	AUTO(server_client_freep) struct server_client *c = NULL;
	TRY(server_client_new(e, rq->server, rq->cancel, &c));
	TRY(server_add_run(c, rq->spec, number));
	*url = NULL;
	return NULL;
}

/* ---- reading ---- */

static struct err *list(void *ctx, int64_t before, size_t limit, struct vec *out)
{
	return server_list_runs(ctx, before, limit, out);
}

static struct err *get(void *ctx, int64_t number, struct run *out)
{
	return server_get_run(ctx, number, out);
}

static struct err *cancel(void *ctx, int64_t number)
{
	return server_cancel_run(ctx, number);
}

static struct err *read_log(void *ctx, const struct run_log_request *rq)
{
	return server_log(ctx, rq);
}

static void close_client(void *ctx)
{
	server_client_free(ctx);
}

struct err *run_source_server(struct engine *e, const char *server, struct run_source *out)
{
	struct server_client *c = NULL;
	TRY(server_client_new(e, server, NULL, &c));
	*out = (struct run_source){
		.ctx = c,
		.list = list,
		.get = get,
		.cancel = cancel,
		.log = read_log,
		.close = close_client,
	};
	return NULL;
}
