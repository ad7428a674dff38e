/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a connection to the whole server, as they come: request lines, every header, paths, queries,
 * bodies of the registry and the API, in any order and cut anywhere. The other targets look at one parser
 * each, and closer.
 */
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "server/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CONFIG                                                                                          \
	"registry:\n  quotas: {small: 1kB}\n  cache:\n    - upstream: 127.0.0.1:1\n      prefix: far\n" \
	"      timeout: 1s\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char place[] = "/tmp/cooper-fuzz-XXXXXX";
static struct cancel *never;
static sem_t listening;
static uint16_t port;

static void must(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_text(e);
	fprintf(stderr, "%s\n", text);
	abort();
}

static void ready(void *ctx, uint16_t at)
{
	(void)ctx;
	port = at;
	sem_post(&listening);
}

static void *serve(void *ctx)
{
	AUTO(engine_closep) struct engine *engine = NULL;
	(void)ctx;
	AUTO_FREE char *home = mem_printf("%s/home", place);
	AUTO_FREE char *config = mem_printf("%s/config.yaml", place);
	FILE *out = fopen(config, "w");
	if (!out || fputs(CONFIG, out) < 0 || fclose(out))
		abort();
	must(engine_open(&(struct engine_options){.home = home, .config_file = config}, &engine));
	must(server_run(
		engine, &(struct server_options){.listen = "127.0.0.1:0", .ready = ready, .cancel = never}));
	return NULL;
}

/* The server serves on: OpenSSL has cleaned up by now, and would allocate anew. */
static void end(void)
{
	AUTO_FREE char *command = mem_printf("rm -rf %s", place);
	if (system(command))
		fprintf(stderr, "%s stays\n", place);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* What strange requests meet is for the answer, not for the terminal. */
	log_open(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_WARN_LEVEL);
	if (!mkdtemp(place))
		abort();
	pthread_t thread;
	never = cancel_new();
	sem_init(&listening, 0, 0);
	if (pthread_create(&thread, NULL, serve, NULL))
		abort();
	sem_wait(&listening);
	atexit(end);
	return 0;
}

static int dial(void)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
	/* Some answers wait for a change: a log that is followed, a runner that asks for work. */
	const struct timeval patience = {.tv_usec = 30000};
	/* From many addresses: those that the server closed first keep their ports busy for a minute. */
	static uint32_t serial;
	const struct sockaddr_in from = {
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + (serial++ & 0xff) * 256)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ||
		connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		must(err_sys(errno, "connecting"));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char answer[16384];
	int fd = dial();
	for (ssize_t n; size && (n = send(fd, data, size, MSG_NOSIGNAL)) > 0;) {
		data += n;
		size -= (size_t)n;
	}
	shutdown(fd, SHUT_WR);
	while (recv(fd, answer, sizeof(answer), 0) > 0)
		;
	/* No connection is left behind in TIME_WAIT. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
	close(fd);
	return 0;
}
