<?php

declare(strict_types=1);

/* agents.php SOCKET SCRIPT LOG: listens on a Unix socket, and answers each request as the script says. */

[, $socket, $script, $log] = $argv;

$answer = static function (string $path, int $status = 200, array $more = []): string {
    $name = rawurldecode(substr($path, strlen('/v1/services/')));
    $instance = ['id' => '1', 'address' => '127.0.0.1:7', 'host' => '127.0.0.1', 'port' => 7, 'meta' => []];
    $more += ['name' => $name, 'version' => 'abc', 'age_seconds' => 1.5, 'instances' => [$instance]];
    $body = json_encode($more);

    return "HTTP/1.1 $status X\r\ncontent-type: application/json\r\nContent-Length: ".strlen($body)."\r\n\r\n$body";
};
$play = static fn (string $path, int $connection): ?string => match ($script) {
    'good' => $answer($path),
    'starting' => $answer($path, 503, ['error' => 'the registry was not read yet']),
    'other' => $answer($path, 200, ['name' => 'other']),
    'silent' => '',
    'half' => substr($answer($path), 0, -20),
    'html' => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<p/>",
    'endless' => "HTTP/1.1 200 OK\r\n\r\n",
    'not-http' => "220 mail.example ESMTP\r\n",
    // Null closes the connection: each lives for one request.
    'closing' => null,
};
// Under its name only once it listens.
$server = stream_socket_server('unix://'.$socket.'.stage');
rename($socket.'.stage', $socket);
[$clients, $numbers, $connections] = [[], [], 0];
while (true) {
    [$read, $write, $except] = [[$server, ...$clients], null, null];
    stream_select($read, $write, $except, null);
    foreach ($read as $stream) {
        if ($stream === $server) {
            $client = stream_socket_accept($server);
            $clients[(int) $client] = $client;
            $numbers[(int) $client] = ++$connections;
            continue;
        }
        $line = fgets($stream);
        while ($line !== false && trim((string) fgets($stream)) !== '') {
        }
        if ($line !== false) {
            $number = $numbers[(int) $stream];
            file_put_contents($log, $number.' '.trim($line)."\n", FILE_APPEND);
            $path = explode(' ', $line)[1];
            fwrite($stream, $play($path, $number) ?? $answer($path));
        }
        if ($line === false || $script === 'closing') {
            unset($clients[(int) $stream]);
            fclose($stream);
        }
    }
}
