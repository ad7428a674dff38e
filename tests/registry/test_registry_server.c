/* SPDX-License-Identifier: Apache-2.0 */
/* The registry alone on any free port: HOME-OF-THE-STORE. Says where it listens, serves until its input ends.
 */
#include "base/log.h"
#include "http/server.h"
#include "registry/collect.h"
#include "registry/registry.h"
#include "store/maintain.h"
#include "store/store.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct err *serve(const char *home)
{
	struct registry *registry = NULL;
	struct http_server *server = NULL;
	AUTO(store_closep) struct store *s = NULL;
	TRY(store_open(home, NULL, &s));
	TRY(registry_new(s, NULL, &registry));
	struct http_server_options opt = {.listen = "127.0.0.1:0"};
	struct err *e = http_server_start(&opt, registry_handler(registry), &server);
	if (!e) {
		printf("http://127.0.0.1:%u\n", http_server_port(server));
		fflush(stdout);
		char c;
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
		http_server_stop(server, 0);
	}
	registry_free(registry);
	return e;
}

static struct err *collect(const char *home)
{
	AUTO(store_closep) struct store *s = NULL;
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	unsigned rounds = 0;
	TRY(store_open(home, NULL, &s));
	for (; poll(&in, 1, 0) == 0; rounds++) {
		struct store_gc_result result = {0};
		TRY(store_sweep(s));
		const struct registry_collect_options opt = {0};
		struct registry_collected did = {0};
		TRY(registry_collect(s, &opt, NULL, &did));
		TRY(store_gc(s, &(struct store_gc_options){.keep_for = 1, .keep_bytes = 1}, NULL, &result));
	}
	printf("%u\n", rounds);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3)
		return 2;
	log_open(STDERR_FILENO, LOG_WARN_LEVEL);
	struct err *e = argc == 3 ? collect(argv[1]) : serve(argv[1]);
	if (!e)
		return 0;
	char *text = err_trace(e);
	fprintf(stderr, "%s\n", text);
	free(text);
	err_free(e);
	return 1;
}
