<?php

// Predis as far as the package uses it, with its signatures: versions 1.1 to 3 share these. It talks to Redis
// through phpredis, raw, so that what is tested is the real server's answer.

declare(strict_types=1);

namespace Predis\Response {
    interface ErrorInterface
    {
        public function getMessage();
    }

    final class Error implements ErrorInterface
    {
        public function __construct(private string $message)
        {
        }

        public function getMessage()
        {
            return $this->message;
        }
    }

    final class ServerException extends \RuntimeException
    {
    }
}

namespace Predis\Command {
    interface CommandInterface
    {
        public function getId();

        public function getArguments();
    }

    final class RawCommand implements CommandInterface
    {
        private function __construct(private string $id, private array $arguments)
        {
        }

        public static function create($commandID, ...$args)
        {
            return new self(strtoupper($commandID), $args);
        }

        public function getId()
        {
            return $this->id;
        }

        public function getArguments()
        {
            return $this->arguments;
        }
    }
}

namespace Predis\Pipeline {
    use Predis\Client;
    use Predis\Command\CommandInterface;

    final class Pipeline
    {
        /** @var list<CommandInterface> */
        private array $commands = [];

        public function __construct(private Client $client)
        {
        }

        public function executeCommand(CommandInterface $command)
        {
            $this->commands[] = $command;

            return $this;
        }

        public function execute($callable = null)
        {
            $callable($this);

            return array_map(fn (CommandInterface $command) => $this->client->executeCommand($command), $this->commands);
        }
    }
}

namespace Predis {
    use Predis\Command\CommandInterface;
    use Predis\Pipeline\Pipeline;
    use Predis\Response\Error;
    use Predis\Response\ServerException;

    final class Client
    {
        private \Redis $redis;

        public function __construct($parameters = null, private $options = null)
        {
            $this->redis = new \Redis();
            $this->redis->connect($parameters['host'], (int) $parameters['port']);
            $this->redis->auth($parameters['password']);
            $this->redis->select((int) $parameters['database']);
        }

        public function executeCommand(CommandInterface $command)
        {
            $this->redis->clearLastError();
            $reply = $this->redis->rawCommand($command->getId(), ...$command->getArguments());
            $error = $this->redis->getLastError();
            if ($error !== null && ($this->options['exceptions'] ?? true)) {
                throw new ServerException($error);
            }

            return $error === null ? ($reply === false ? null : $reply) : new Error($error);
        }

        public function pipeline(...$arguments)
        {
            return (new Pipeline($this))->execute(...$arguments);
        }
    }
}
