<?php
// The script is the only thing here: whatever the URL says, it answers.
chdir(getcwd());
require 'upload.php';
