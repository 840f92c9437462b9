/** What `stats()` counts. One object per peer, shared by its parts. */
export class Counters {
  messagesSent = 0;
  messagesReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  callsStarted = 0;
  callsServed = 0;
  retries = 0;
  connectionsLost = 0;
  eventsMissed = 0;
  malformedRecords = 0;
  heartbeats = 0;
  redisFailures = 0;
  protocolErrors = 0;
  callbackErrors = 0;
  serving = 0;
  calling = 0;
  streams = 0;
}
