/* SPDX-License-Identifier: Apache-2.0 */
#include "release/dispatch.h"
#include "release/run_source.h"

static struct err *not_offered(const char *server)
{
	return err_hint(err_new(ERR_UNSUPPORTED, "runs at a server (%s) are not supported yet", server),
		"--via local queues and works here");
}

struct err *dispatch_server(struct engine *e, const struct dispatch_request *rq, int64_t *number, char **url)
{
	(void)e;
	(void)number;
	(void)url;
	return not_offered(rq->server);
}

struct err *run_source_server(struct engine *e, const char *server, struct run_source *out)
{
	(void)e;
	(void)out;
	return not_offered(server);
}
