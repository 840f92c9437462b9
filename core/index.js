module.exports = require('../dist/core.js');
